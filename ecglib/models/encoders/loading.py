"""Encoders by name."""

from ecglib._keras import Tensor

import importlib
from typing import Protocol, cast

from ecglib.errors import require_one_of
from ecglib.experiment.registry import REPRESENTATIONS


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
        Name of the encoder.

    Returns
    -------
    Encoder
        The function that the registry names (`ecglib.experiment.registry.REPRESENTATIONS`).

    Raises
    ------
    ExperimentError
        If there is no such representation, or it has no such encoder.

    Examples
    --------
    >>> load_encoder("spectrogram", "crnn").__name__
    'time_frequency_crnn'
    """
    require_one_of("representation", representation, REPRESENTATIONS)
    encoders = REPRESENTATIONS[representation].encoders
    require_one_of(f"encoder of {representation!r}", encoder, encoders)
    module, function = encoders[encoder].split(".")
    return cast(Encoder, getattr(importlib.import_module(f"{__package__}.{module}"), function))
