"""Profiles: every number of a run, read from `configs/*.toml`, and whether a profile permits commercial use."""
