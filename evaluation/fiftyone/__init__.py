"""The finished data as a FiftyOne dataset: to look at, to tag, and to take the tags back into the library.

`inspect.py` puts it together; the only place that imports fiftyone, and nothing else of the product imports it.
"""
