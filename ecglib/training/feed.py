"""How windows get from a store to a model: through an input pipeline, or on the device already."""

import ecglib._keras  # noqa: F401

from collections.abc import Iterator
from typing import Protocol

import keras
import numpy as np

from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.training.devices import BACKEND
from ecglib.training.epoch_order import BatchOptions
from ecglib.training.epochs import Epochs


class Feed(Protocol):
    """Trains and predicts with the windows of a store."""

    def fit(
        self, model: keras.Model, options: BatchOptions, epochs: Epochs
    ) -> keras.callbacks.History:
        """Train a compiled model on the training split.

        Parameters
        ----------
        model : keras.Model
            From windows or crops in mV, or from the representations where the feed computes them,
            to probabilities.
        options : BatchOptions
            How windows are drawn and changed.
        epochs : Epochs
            How long.
        """

    def predict(self, model: keras.Model, split: str) -> np.ndarray:
        """Predict the windows of a split, in their order.

        Parameters
        ----------
        model : keras.Model
            From what the feed gives to probabilities, (n_windows, ..., n_classes).
        split : {"train", "validation", "test"}
            The split.
        """

    def compute_representations(
        self, representations: keras.Model, windows: Selection, options: BatchOptions
    ) -> Iterator[dict[str, np.ndarray]]:
        """Compute the representations of windows, batch by batch.

        Parameters
        ----------
        representations : keras.Model
            From windows or crops in mV, and tabular values, to the representations.
        windows : Selection
            The windows.
        options : BatchOptions
            How windows are cropped.

        Yields
        ------
        dict of str to array
            Name of the representation -> its values, (n_windows, ...).
        """


def choose_feed(
    dataset: Dataset,
    selection: Selection,
    batch_size: int,
    for_training: keras.Model | None = None,
    for_prediction: keras.Model | None = None,
) -> Feed:
    """Choose the feed of the backend.

    On JAX the samples lie on the device, and an epoch is one compiled function
    (`ecglib.training.device_feed`). On TensorFlow and PyTorch the windows come through an input
    pipeline.

    Parameters
    ----------
    dataset, selection, batch_size, for_training, for_prediction
        See `ecglib.training.pipeline_feed.PipelineFeed`.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     feed = choose_feed(dataset, dataset.select("superdiagnostic"), 16)
    >>> type(feed).__name__
    'PipelineFeed'
    """
    if BACKEND == "jax":
        from ecglib.training.device_feed import DeviceFeed

        return DeviceFeed(dataset, selection, batch_size)
    from ecglib.training.pipeline_feed import PipelineFeed  # imports TensorFlow

    return PipelineFeed(dataset, selection, batch_size, for_training, for_prediction)
