"""Imperfect masks: the visible mask after the errors that people and detectors make.

`errors.py` holds the errors, `imperfect.py` draws one and measures it, `stage.py` does so for finished scenes.
"""
