"""Foregrounds: RGBA cutouts from each source, cleaned, measured and stored in one way.

A source has its own package (`mulan`, `prompts` and the generators); what all sources share is here: `gates` cleans
and filters a cutout, `cutout` turns it into a WebP and a record. `pipelines.library` holds the catalogue of them all.
"""
