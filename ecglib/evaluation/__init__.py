"""Metrics, thresholds, intervals over patients, and what a fusion really adds."""
