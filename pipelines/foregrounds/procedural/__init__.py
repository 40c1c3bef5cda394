"""Procedural foregrounds: complete objects drawn from shapes, the offline stand-in for a generative model.

`shapes` is geometry, `picture` paints it; the other files draw one family of objects each, and `generator` picks
the family a prompt asks for.
"""
