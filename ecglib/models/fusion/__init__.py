"""Fusions: from the branches of a model to its probabilities.

Each takes the `Branches` of a model and returns the tensor of probabilities, (n_windows,
n_classes). Early fusions join the representations, intermediate ones the features of the branches,
late ones their probabilities. `Branches` handles branch dropout and missing branches for all of
them.
"""

from ecglib.models.fusion.branches import Branches, find_branches
from ecglib.models.fusion.late import (
    set_branch_weights,
    set_stacking_weights,
    stack_probabilities,
)
from ecglib.models.fusion.loading import load_fusion

__all__ = [
    "Branches",
    "find_branches",
    "load_fusion",
    "set_branch_weights",
    "set_stacking_weights",
    "stack_probabilities",
]
