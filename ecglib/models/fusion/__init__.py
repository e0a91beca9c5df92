"""Fusions: how the branches become one vector of probabilities.

Each takes the `Branches` of a model and returns the tensor of probabilities, (n_windows,
n_classes). Early fusions join the views, intermediate ones the branches' features, late ones
what the branches answer. `branch_dropout` and branches that may be missing are dealt with in
`branches` for all of them alike.
"""

from collections.abc import Callable

from ecglib.models.fusion.attention import (
    intermediate_attention,
    intermediate_bottleneck,
    intermediate_cross_attention,
)
from ecglib.models.fusion.branches import BRANCH_OUTPUT, OUTPUT, Branches, alone, encode, head
from ecglib.models.fusion.early import early_concat
from ecglib.models.fusion.intermediate import (
    intermediate_bilinear,
    intermediate_concat,
    intermediate_film,
    intermediate_gated,
)
from ecglib.models.fusion.late import late_average, late_product, late_stacking, late_weighted

FUSIONS: dict[str, Callable] = {
    "early_concat": early_concat,
    "intermediate_concat": intermediate_concat,
    "intermediate_gated": intermediate_gated,
    "intermediate_film": intermediate_film,
    "intermediate_bilinear": intermediate_bilinear,
    "intermediate_attention": intermediate_attention,
    "intermediate_cross_attention": intermediate_cross_attention,
    "intermediate_bottleneck": intermediate_bottleneck,
    "late_average": late_average,
    "late_weighted": late_weighted,
    "late_product": late_product,
    "late_stacking": late_stacking,
}

__all__ = ["BRANCH_OUTPUT", "FUSIONS", "OUTPUT", "Branches", "alone", "encode", "head"]
