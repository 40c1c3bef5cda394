"""The finished data as a FiftyOne dataset: to look at, to tag, and to take the tags back into the library.

`inspect.py` puts it together. Only this package imports fiftyone, and nothing loads it unless it is used.
"""
