"""Training of an adapter: its task, its trained modules, how it starts, how its alpha is calibrated."""
