"""Training of the RGBA VAE: a base's VAE, widened by an alpha channel, learns transparency (the AlphaVAE recipe)."""
