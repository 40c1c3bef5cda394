"""Edges, segmentation and depth of a picture: how they are made, stored and shown, and what the VAE sees of them."""
