"""The catalogue of usable foregrounds and backgrounds, and how a scene draws from it."""
