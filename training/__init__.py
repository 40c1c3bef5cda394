"""Teaching the model: data loading, losses, recipes, schedule. The loop and its checkpoints are not written yet."""
