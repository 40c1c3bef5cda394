"""MuLAn: reads its annotations safely, rebuilds its layers exactly, and turns them into foregrounds.

One file, one idea: `pickle_scan`, `stand_ins` and `unpickle` (bytes -> values, nothing executes), `annotation` (values
-> checked arrays), `reader` (a file and its photograph -> layers); `files` (where files are), `index` (the list of all,
by shard), `provenance` (licences and addresses), `fetch` (missing photographs), `split` (which are for testing),
`source` (these together); `extract` (PNG files), `stage` (foregrounds for the library), `requirements` (folders, lists
and disk). The format and its sources: docs/sources.md.
"""
