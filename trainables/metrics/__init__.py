"""Scores from (codes, factors) and the capacity audit from (mean, log-std): one file a metric, no torch."""
