"""Downloads files into a local folder: in parallel, resumed and checked, so that a truncated file never looks whole.

The sources decide which files to fetch.
"""
