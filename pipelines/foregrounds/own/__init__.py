"""A user's own cutouts: RGBA pictures, or pictures with their alpha in a file of its own, in a folder."""
