"""Imperfect masks: the visible mask after the errors that people and segmenters make.

`errors.py` holds the errors of the outline, `area_errors.py` those that take in more or leave out a part and look at
the scene for it; `imperfect.py` draws one and measures it, `stage.py` does so for finished scenes.
"""
