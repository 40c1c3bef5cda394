"""MuLAn: reads its annotations safely, rebuilds its layers exactly, and turns them into foregrounds.

One file, one idea: `inflate`, `pickle_scan`, `stand_ins` and `unpickle` (bytes -> values, nothing executes),
`annotation` (values -> checked arrays), `layers` (arrays + photograph -> pictures), `files` (what lies where),
`reader` (the chain of these), `extract` (pictures for people), `stage` (foregrounds for the library).
The format and its sources: docs/data.md.
"""
