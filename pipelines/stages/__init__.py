"""The machinery that runs every stage of the data: engine, tasks, store, shards, manifests, locks, progress."""
