"""Judging the model: protocol, metrics, baselines, ablations, statistics, report, FiftyOne. Still empty."""
