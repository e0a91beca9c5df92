"""What disturbances of the signal, lost leads and lost branches cost each model."""

from ecglib.robustness.conditions import Conditions
from ecglib.robustness.curves import Curves
from ecglib.robustness.disturb import Disturber
from ecglib.robustness.loss_comparisons import (
    LossComparison,
    compare_augmentation,
    compare_losses,
    compare_with_branches,
    tabulate_comparisons,
)
from ecglib.robustness.lost_branches import (
    LostBranches,
    lose_representation,
    measure_lost_branches,
)
from ecglib.robustness.measuring import (
    Robustness,
    RobustnessSettings,
    measure_robustness,
)
from ecglib.robustness.registry import DISTURBANCES, Disturbance
from ecglib.robustness.smallest_loss import (
    SmallestLoss,
    find_smallest_losses,
    tabulate_smallest_losses,
)

__all__ = [
    "DISTURBANCES",
    "Conditions",
    "Curves",
    "Disturbance",
    "Disturber",
    "LossComparison",
    "LostBranches",
    "Robustness",
    "RobustnessSettings",
    "SmallestLoss",
    "compare_augmentation",
    "compare_losses",
    "compare_with_branches",
    "find_smallest_losses",
    "lose_representation",
    "measure_lost_branches",
    "measure_robustness",
    "tabulate_comparisons",
    "tabulate_smallest_losses",
]
