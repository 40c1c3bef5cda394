"""Files from the network into a local folder: in parallel, resumed, checked, and never taken for whole while cut off.

What is to be fetched, and what it is good for, is known by the sources.
"""
