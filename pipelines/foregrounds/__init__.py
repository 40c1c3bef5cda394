"""Foregrounds: RGBA cutouts from each source, cleaned, measured and stored one way.

A source has its own package (`mulan`, `generated`); what all sources share is here: `gates` decides whether a
cutout is usable and cleans it, `cutout` turns it into a WebP and a record. Drawing from the catalogue of all
sources is `pipelines.library`'s business.
"""
