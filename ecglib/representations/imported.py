"""Representations by layers of other packages.

The name of such a representation begins with its kind, the representation of ecglib that has the
same axes: encoders, scaling and plots are those of its kind. The layer is a `SignalLayer` without
weights, and has what the layers of ecglib have:

- ``__init__(sampling_rate, ..., **kwargs)``, whose other arguments are the options of the
  representation;
- ``call``, from windows (n_windows, n_samples, n_leads) in mV to the representation, whose last
  axis are the leads;
- ``compute_axes(n_samples)``, the values of the other axes in s and Hz;
- ``name_channels(leads)``, if its last axis has other entries than the leads;
- ``unit``, the unit of its values;
- ``get_config``, with its options.

With a frequency axis it may be a `FrequencyBandLayer`, which gets the band of the filter.
"""

from __future__ import annotations

import ecglib._keras  # noqa: F401

import inspect
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from ecglib.errors import ExperimentError
from ecglib.experiment.branches import describe_kind
from ecglib.experiment.importing import import_attribute, require_installed
from ecglib.experiment.registry import REPRESENTATIONS
from ecglib.preprocessing import SignalLayer

if TYPE_CHECKING:
    from ecglib.datasets.schema import SignalSpec

# Size of an axis in the registry -> key of the axis in `compute_axes`.
AXIS_KEYS = {"n_samples": "time_s", "n_frames": "time_s", "n_bins": "frequency_hz"}


def import_layer_class(path: str) -> type[SignalLayer]:
    """Import the class of a layer of another package.

    Parameters
    ----------
    path : str
        Its import path. The module has to be installed, or imported before.

    Returns
    -------
    type
        The class.

    Raises
    ------
    ExperimentError
        If there is no such module or class, its code has changed, or it is no `SignalLayer`.

    Examples
    --------
    >>> import_layer_class("ecglib.representations.spectrogram:Spectrogram").__name__
    'Spectrogram'
    """
    require_installed(path)
    layer_class = import_attribute(path)
    if not inspect.isclass(layer_class) or not issubclass(layer_class, SignalLayer):
        kind = "a class" if inspect.isclass(layer_class) else type(layer_class).__name__
        raise ExperimentError(
            f"{path!r} is {kind}, expected a subclass of ecglib.preprocessing.SignalLayer. "
            f"Derive the layer from it: class {path.partition(':')[2].partition('@')[0]}"
            f"(SignalLayer)."
        )
    return layer_class


def check_imported_layer(
    layer: SignalLayer, path: str, representation: str, signal: SignalSpec
) -> None:
    """Refuse a layer that has weights, or other axes than its kind of representation.

    Parameters
    ----------
    layer : SignalLayer
        The layer of another package.
    path : str
        Its import path, for the error.
    representation : str
        The name of the representation, which says its kind.
    signal : SignalSpec
        Signal spec of the windows.

    Raises
    ------
    ExperimentError
        If its output does not have the axes of this kind, if it does not tell their
        values or its unit, or if it has weights.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> from ecglib.representations.spectrogram import Spectrogram
    >>> signal = SignalSpec(100.0, 1000, ("I", "II"))
    >>> check_imported_layer(Spectrogram(100), "mypackage:Mine", "scalogram", signal)
    >>> check_imported_layer(Spectrogram(100), "mypackage:Mine", "time", signal)
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: 'mypackage:Mine' makes windows of shape (59, 25, 2), but ...
    """
    axes = describe_kind(representation).axes
    output = layer(keras.Input((signal.n_samples, len(signal.leads))))
    shape: Any = getattr(output, "shape", (None,))[1:]
    if len(shape) != len(axes) or None in shape:
        fitting = [name for name, one in REPRESENTATIONS.items() if len(one.axes) == len(shape)]
        raise ExperimentError(
            f"{path!r} makes windows of shape {shape}, but {representation!r} needs the axes "
            f"({', '.join(axes)}), each with a known size. Change the layer, or let the name of "
            f"its representation begin with a kind that has these axes: {fitting or 'none'}."
        )
    if layer.weights:
        raise ExperimentError(
            f"{path!r} has the weights {[one.path for one in layer.weights]}. A representation is "
            f"computed before the network and is not trained. Put what is trained into an encoder."
        )
    n_channels = len(layer.name_channels(signal.leads))
    if n_channels != shape[-1]:
        raise ExperimentError(
            f"{path!r} makes windows of shape {shape}, but its name_channels names {n_channels} "
            f"entries of the last axis. Write this method, which gets the names of the leads and "
            f"returns one name for each entry."
        )
    _check_axes(layer, path, dict(zip(axes[:-1], shape[:-1], strict=True)), signal)


def _check_axes(layer: SignalLayer, path: str, sizes: dict[str, int], signal: SignalSpec) -> None:
    """Refuse a layer whose `compute_axes` or `unit` do not describe its output."""
    expected = {AXIS_KEYS[name]: (size,) for name, size in sizes.items()}
    compute_axes = getattr(layer, "compute_axes", None)
    axes = compute_axes(signal.n_samples) if compute_axes else {}
    found = {key: np.shape(values) for key, values in axes.items()}
    if list(found.items()) != list(expected.items()):
        raise ExperimentError(
            f"{path!r}: compute_axes({signal.n_samples}) returns axes of the shapes {found}, "
            f"expected {expected}. Write this method; the plots need the values of the axes."
        )
    if not isinstance(getattr(layer, "unit", None), str):
        raise ExperimentError(
            f"{path!r} has no `unit`. Give the class one, such as unit = 'mV'; the plots need it."
        )
