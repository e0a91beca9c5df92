"""Trainings in TensorBoard and MLflow, off by default; neither decides anything about a result."""

from ecglib.training.tracking.switches import build_epoch_log, check_tracking, track_run

__all__ = ["build_epoch_log", "check_tracking", "track_run"]
