"""Procedural foregrounds: complete objects drawn from shapes, the offline stand-in for a generative model.

`shapes` holds the geometry, `picture` renders it; the other files draw one family of objects each, and `generator`
picks the family that a prompt names.
"""
