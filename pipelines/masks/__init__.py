"""Imperfect masks: the visible mask after the errors that people and detectors make.

`imperfect.py` draws an error and measures it, `stage.py` does so for finished scenes; each other file holds one family
of errors, as plain functions `(mask, reach_px, rng) -> mask` that know nothing of profiles, scenes or weights.
"""
