"""The model, for people who only want to use it: bases, contexts, fusion, RGBA VAE, pipeline, publishing.

No data pipeline and no Dagster here. The package is still empty: the data factory (`pipelines`) comes first.
"""
