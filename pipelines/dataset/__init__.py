"""The finished dataset, as a reader meets it: index, statistics, figures, sample sheets, data card, Croissant.

Everything here is derived from finished shards; nothing here makes or changes a sample.
"""
