"""Fusions by name."""

from ecglib._keras import Tensor

import functools
import importlib
from collections.abc import Callable
from typing import Any, cast

import keras

from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.branches import check_fusion_name
from ecglib.experiment.import_paths import is_import_path
from ecglib.experiment.importing import import_attribute
from ecglib.experiment.registry import FUSIONS
from ecglib.models.encoders.loading import check_function
from ecglib.models.fusion.branches import OUTPUT, Branches
from ecglib.models.importing import seed_layers
from ecglib.models.layers import seed_stream


def load_fusion(fusion: str) -> Callable[[Branches], Tensor]:
    """Import a fusion.

    Parameters
    ----------
    fusion : str
        Name of the fusion, or its import path.

    Returns
    -------
    callable
        The function that the registry names (`ecglib.experiment.registry.FUSIONS`) or that
        is imported: from `Branches` to probabilities, (n_windows, n_classes).

    Raises
    ------
    ExperimentError
        If there is no such fusion; also if it cannot be imported, is not a function or has other
        parameters.

    Examples
    --------
    >>> load_fusion("late_average").__name__
    'late_average'
    """
    if is_import_path(fusion):
        check_fusion_name(fusion)
        return _guard(import_attribute(fusion), fusion)
    require_one_of("fusion", fusion, FUSIONS)
    module, function = FUSIONS[fusion].split(".")
    loaded = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    return cast(Callable[[Branches], Tensor], loaded)


def _guard(function: Callable[..., Any], name: str) -> Callable[[Branches], Tensor]:
    """Wrap an imported fusion: seed its layers, and check what it returns."""
    check_function(function, name, ("branches",))

    @functools.wraps(function)
    def fuse(branches: Branches) -> Tensor:
        with seed_layers(next(seed_stream(branches.settings.seed, "fusion"))):
            p = function(branches)
        shape = (None, branches.settings.n_classes)
        if not isinstance(p, keras.KerasTensor) or p.shape != shape:
            found = f"a tensor of shape {p.shape}" if hasattr(p, "shape") else type(p).__name__
            raise ExperimentError(
                f"{name!r} returned {found}, expected the probabilities, a tensor of shape "
                f"{shape}. Return branches.classify(features)."
            )
        if (layer := p._keras_history.operation.name) != OUTPUT:
            raise ExperimentError(
                f"{name!r} ends in the layer {layer!r}, expected {OUTPUT!r}. Return "
                f"branches.classify(features), or call the last layer so: name={OUTPUT!r}."
            )
        return p

    return fuse
