"""The finished dataset for its readers: index, statistics, figures, contact sheets, data card, Croissant.

Everything here is derived from finished shards; no sample is made or changed.
"""
