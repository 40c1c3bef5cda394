"""Teaching the model: data loading, losses, loop, checkpoints, recipes. Still empty."""
