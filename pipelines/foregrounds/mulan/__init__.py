"""MuLAn: reads its annotations safely, rebuilds its layers exactly, and turns them into foregrounds.

One file, one idea: `inflate`, `pickle_scan`, `stand_ins` and `unpickle` (bytes -> values, nothing executes),
`annotation` (values -> checked arrays), `layers` (arrays + photograph -> pictures), `reader` (the chain of these);
`files` (what lies where), `index` (all of it, by shard), `links` and `fetch` (photographs that are missing), `split`
(which are for testing), `source` (these four together); `extract` (pictures for people), `provenance`, `cutting` and
`stage` (foregrounds for the library), `report` (a line a shard), `needs` (what a machine lacks for it). The format and
its sources: docs/sources.md.
"""
