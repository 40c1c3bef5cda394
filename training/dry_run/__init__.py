"""Examines a run before it costs anything: missing things, memory, disk, hours, shapes, and a small run."""
