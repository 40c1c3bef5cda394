"""Maps of composites: edges, regions and depth, and the stage that makes them."""
