"""What disturbances of the signal, lost leads and lost branches cost each model."""

from ecglib.robustness.conditions import Conditions
from ecglib.robustness.curves import (
    Curves,
    Robustness,
    RobustnessSettings,
    measure_robustness,
)
from ecglib.robustness.disturb import Disturber
from ecglib.robustness.lost_branches import (
    LostBranches,
    lose_representation,
    measure_lost_branches,
)
from ecglib.robustness.registry import DISTURBANCES, Disturbance
from ecglib.robustness.verdicts import (
    FusionAgainstBranches,
    SmallestLoss,
    compare_with_branches,
    find_smallest_losses,
    tabulate_advantages,
)

__all__ = [
    "DISTURBANCES",
    "Conditions",
    "Curves",
    "Disturbance",
    "Disturber",
    "FusionAgainstBranches",
    "LostBranches",
    "Robustness",
    "RobustnessSettings",
    "SmallestLoss",
    "compare_with_branches",
    "find_smallest_losses",
    "lose_representation",
    "measure_lost_branches",
    "measure_robustness",
    "tabulate_advantages",
]
