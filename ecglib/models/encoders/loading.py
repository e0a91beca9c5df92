"""Encoders by name."""

from ecglib._keras import Tensor

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, Protocol, cast

import keras

from ecglib.errors import ExperimentError, require_one_of
from ecglib.experiment.branches import describe_kind
from ecglib.experiment.import_paths import is_import_path
from ecglib.experiment.importing import import_attribute
from ecglib.models.importing import seed_layers

PARAMETERS = ("x", "width", "feature_dim", "dropout", "seed")


class Encoder(Protocol):
    """A function from one scaled representation to features, (n_windows, feature_dim).

    Examples
    --------
    >>> import keras
    >>> encoder: Encoder = load_encoder("time", "cnn")
    >>> encoder(keras.Input((250, 2)), width=8, feature_dim=16, dropout=0.0, seed=0).shape
    (None, 16)
    """

    def __call__(
        self, x: Tensor, width: int, feature_dim: int, dropout: float, seed: int
    ) -> Tensor:
        """Apply the encoder to a symbolic tensor."""


def load_encoder(representation: str, encoder: str) -> Encoder:
    """Import an encoder.

    Parameters
    ----------
    representation : str
        Name of the representation that the encoder takes.
    encoder : str
        Name of the encoder, or its import path.

    Returns
    -------
    Encoder
        The function that the registry names (`ecglib.experiment.registry.REPRESENTATIONS`), or that
        is imported. Layers without a seed get one from the seed of an imported encoder, and what it
        returns is checked.

    Raises
    ------
    ExperimentError
        If there is no such representation, or it has no such encoder; also if an encoder cannot be
        imported, is not a function or has other parameters.

    Examples
    --------
    >>> load_encoder("spectrogram", "crnn").__name__
    'time_frequency_crnn'
    """
    encoders = describe_kind(representation).encoders
    if is_import_path(encoder):
        return _guard(import_attribute(encoder), encoder)
    require_one_of(f"encoder of {representation!r}", encoder, encoders)
    module, function = encoders[encoder].split(".")
    return cast(Encoder, getattr(importlib.import_module(f"{__package__}.{module}"), function))


def check_function(function: Any, name: str, parameters: tuple[str, ...]) -> None:
    """Refuse an imported object that cannot be called with one tensor and some keywords.

    Parameters
    ----------
    function : object
        What was imported.
    name : str
        Its import path.
    parameters : tuple of str
        Names of its parameters: the first is given by position, the others by keyword.

    Raises
    ------
    ExperimentError
        If it is no function, or does not take these.

    Examples
    --------
    >>> check_function(3, "mypackage:encode", ("x", "seed"))
    Traceback (most recent call last):
    ...
    ecglib.errors.ExperimentError: 'mypackage:encode' is int, expected a function ...
    """
    expected = f"a function with the parameters ({', '.join(parameters)})"
    if not callable(function):
        raise ExperimentError(
            f"{name!r} is {type(function).__name__}, expected {expected}. Name one."
        )
    signature = inspect.signature(function)
    try:
        signature.bind(None, **dict.fromkeys(parameters[1:]))
    except TypeError as error:
        raise ExperimentError(
            f"{name!r} takes {signature}, expected {expected}: {error}. Give it these parameters; "
            f"it need not use them all."
        ) from None


def _guard(function: Callable[..., Any], name: str) -> Encoder:
    """Wrap an imported encoder: seed its layers, and check what it returns."""
    check_function(function, name, PARAMETERS)

    @functools.wraps(function)
    def encode(x: Tensor, width: int, feature_dim: int, dropout: float, seed: int) -> Tensor:
        with seed_layers(seed):
            features = function(x, width=width, feature_dim=feature_dim, dropout=dropout, seed=seed)
        if not isinstance(features, keras.KerasTensor):
            raise ExperimentError(
                f"{name!r} returned {type(features).__name__}, expected the tensor of shape "
                f"(n_windows, {feature_dim}) that its last layer returns."
            )
        if features.shape != (None, feature_dim):
            raise ExperimentError(
                f"{name!r} returned a tensor of shape {features.shape}, expected (None, "
                f"{feature_dim}): one vector of feature_dim values for each window. End with a "
                f"pooling and layers.Dense(feature_dim)."
            )
        return features

    return encode
