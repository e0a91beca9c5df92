"""The models: encoders, fusions, and the builder that joins them.

All are functional Keras 3 models of built-in and registered layers, for any backend.
"""

import ecglib._keras  # noqa: F401

from ecglib.models.builder import build_model, join_members
from ecglib.models.cost import multiply_adds
from ecglib.models.encoders import ENCODERS
from ecglib.models.fusion import FUSIONS
from ecglib.models.sizing import width_of_size
from ecglib.models.use import (
    AuxiliaryLoss,
    BranchLoss,
    auxiliary_view,
    branches_of,
    check_inputs,
    scaling_axes,
    set_scaling,
    set_stacking,
    set_weights_of_branches,
    take_branch,
    training_view,
)

__all__ = [
    "ENCODERS",
    "FUSIONS",
    "AuxiliaryLoss",
    "BranchLoss",
    "auxiliary_view",
    "branches_of",
    "build_model",
    "check_inputs",
    "join_members",
    "multiply_adds",
    "scaling_axes",
    "set_scaling",
    "set_stacking",
    "set_weights_of_branches",
    "take_branch",
    "training_view",
    "width_of_size",
]
