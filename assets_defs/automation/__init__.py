"""Automation: inputs are watched, stale assets are made anew, failures are reported.

Schedules and sensors are off until somebody switches them on in the UI. Nothing here knows how an asset is made.
"""
