"""Metrics: how close an output is to the truth, for pictures and alphas, and the names they are reported under."""
