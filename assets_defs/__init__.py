"""Dagster alone: assets of a few lines over `pipelines`, checks, resources, jobs, definitions.

What an asset does is written in the domain packages, which know nothing of Dagster; here it is named, ordered,
described, checked and shown.
"""
