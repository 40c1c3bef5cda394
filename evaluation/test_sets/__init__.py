"""Lists that methods are judged on: where cases come from. `spec.py` is the interface, a file each for the kinds."""
