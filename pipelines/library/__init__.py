"""The library: the catalogue of usable foregrounds and backgrounds, and the ring that scenes draw from."""
