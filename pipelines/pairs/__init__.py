"""Before/after pairs: one place with an object and without it, with a mask of the object, as people photograph them."""
