"""Files of weights: where they are, whether they are whole, their hashes, and how to get those that are missing."""
