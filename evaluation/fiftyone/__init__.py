"""The finished data as a FiftyOne dataset: to view and tag it, and to apply the tags to the library.

`inspect.py` puts it together. Only this package imports fiftyone, and it is loaded only when it is used.
"""
