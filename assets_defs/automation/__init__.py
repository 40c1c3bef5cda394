"""Automation: inputs are watched, stale assets are made again, failures are reported.

Schedules and sensors are off until they are switched on in the UI. Nothing here knows how an asset is made.
"""
