"""Tabular values computed from signals: beats, heart rate."""
