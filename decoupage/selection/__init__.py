"""Which object is meant, where nobody has painted a mask: by a box, by clicks, or in words."""
