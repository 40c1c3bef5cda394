"""Judging the model: held-out list, metrics, methods, statistics, report. One protocol for all (docs/evaluation.md)."""
