"""The data: from public sources to training shards.

Data flows one way: foregrounds and backgrounds -> library -> scenes -> maps -> shards -> dataset.
No model and no Dagster here: `decoupage` holds the model, `assets_defs` the assets.
"""
