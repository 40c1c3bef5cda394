"""A run before it is paid for: what is missing, memory, disk, hours, shapes of the first step, and a small run."""
