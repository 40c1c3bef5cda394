"""Training of the adapter, the RGBA VAE and the tiny base: data loading, losses, recipes, the loop, its checkpoints."""
