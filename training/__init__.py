"""Training of the adapter, the RGBA VAE and the small base: data, losses, recipes, the loop, its checkpoints."""
