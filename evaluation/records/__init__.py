"""What methods made of a test set, kept on disk: asked once, written as it comes, and read by everything else."""
