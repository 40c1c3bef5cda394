"""Teaching the RGBA VAE: a base's picture codec, widened to alpha, learns it (the AlphaVAE recipe)."""
