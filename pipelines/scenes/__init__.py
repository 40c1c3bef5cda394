"""Scenes: plan what stands where, draw the assets, compose them."""
