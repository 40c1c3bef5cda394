"""Training an adapter: its task, its model, its starting point."""
