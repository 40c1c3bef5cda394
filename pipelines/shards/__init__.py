"""Finished shards: join, read, verify, export."""
