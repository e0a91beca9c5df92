"""Fusions by name."""

from ecglib._keras import Tensor

import importlib
from collections.abc import Callable
from typing import cast

from ecglib.errors import require_one_of
from ecglib.experiment.registry import FUSIONS
from ecglib.models.fusion.branches import Branches


def load_fusion(fusion: str) -> Callable[[Branches], Tensor]:
    """Import a fusion.

    Parameters
    ----------
    fusion : str
        Name of the fusion.

    Returns
    -------
    callable
        The function that the registry names (`ecglib.experiment.registry.FUSIONS`): from
        `Branches` to probabilities, (n_windows, n_classes).

    Raises
    ------
    ExperimentError
        If there is no such fusion.

    Examples
    --------
    >>> load_fusion("late_average").__name__
    'late_average'
    """
    require_one_of("fusion", fusion, FUSIONS)
    module, function = FUSIONS[fusion].split(".")
    loaded = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    return cast(Callable[[Branches], Tensor], loaded)
