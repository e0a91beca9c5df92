"""The models: encoders, fusions, and the builder that combines them.

All are functional Keras 3 models of built-in and registered layers, and run on any backend.
"""

import ecglib._keras  # noqa: F401

from ecglib.models.builder import build_ensemble, build_model
from ecglib.models.checks import (
    CheckResult,
    check_encoder,
    check_fusion,
    check_representation,
)
from ecglib.models.cost import count_multiply_adds
from ecglib.models.fusion.branches import find_branches
from ecglib.models.fusion.late import set_branch_weights, set_stacking_weights
from ecglib.models.inputs import check_inputs, find_scaling_axes, set_scaling
from ecglib.models.losses import (
    AuxiliaryLoss,
    BranchLoss,
    build_auxiliary_model,
    build_training_model,
)
from ecglib.models.sizing import find_width
from ecglib.models.spec import ModelSpec
from ecglib.models.transfer import copy_branch_weights

__all__ = [
    "AuxiliaryLoss",
    "BranchLoss",
    "CheckResult",
    "ModelSpec",
    "build_auxiliary_model",
    "build_ensemble",
    "build_model",
    "build_training_model",
    "check_encoder",
    "check_fusion",
    "check_inputs",
    "check_representation",
    "copy_branch_weights",
    "count_multiply_adds",
    "find_branches",
    "find_scaling_axes",
    "find_width",
    "set_branch_weights",
    "set_scaling",
    "set_stacking_weights",
]
