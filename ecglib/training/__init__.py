"""From an experiment to a finished run."""

from ecglib.training.runner import train
from ecglib.training.tracking import track_run
from ecglib.training.trainer import Trainer, TrainerOptions
from ecglib.training.tree_trainer import TreeTrainer

__all__ = ["Trainer", "TrainerOptions", "TreeTrainer", "track_run", "train"]
