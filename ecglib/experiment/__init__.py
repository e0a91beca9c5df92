"""Everything that decides a result, as plain values, and its checks before training."""

from ecglib.experiment.config import Experiment

__all__ = [
    "Experiment",
]
