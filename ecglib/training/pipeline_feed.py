"""Batches of a tf.data input pipeline, for Keras on TensorFlow and PyTorch."""

import ecglib._keras  # noqa: F401

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from ecglib import models
from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.training.devices import BACKEND
from ecglib.training.epoch_order import (
    BatchOptions,
    choose_prediction_size,
    list_inputs,
    place_windows,
)
from ecglib.training.epochs import Epochs
from ecglib.training.input_pipeline import make_batches


class PipelineFeed:
    """Feeds batches of a tf.data input pipeline to Keras, on TensorFlow and PyTorch (a `Feed`).

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    selection : Selection
        The windows of all splits.
    batch_size : int
        Windows in a training batch.
    for_training, for_prediction : keras.Model or None
        The representations, where the pipeline computes them (on TensorFlow only); None where the
        model does.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     feed = PipelineFeed(dataset, dataset.select("superdiagnostic"), 16)
    ...     pool = keras.layers.GlobalAveragePooling1D()
    ...     model = keras.Sequential([keras.Input((1000, 12)), pool, keras.layers.Dense(5)])
    ...     p = feed.predict(model, "test")
    >>> p.shape[1]
    5
    """

    def __init__(
        self,
        dataset: Dataset,
        selection: Selection,
        batch_size: int,
        for_training: keras.Model | None = None,
        for_prediction: keras.Model | None = None,
    ):
        self.dataset, self.selection, self.batch_size = dataset, selection, batch_size
        self.for_training, self.for_prediction = for_training, for_prediction
        n_validation = int((selection.part == "validation").sum())
        self.prediction_size = choose_prediction_size(n_validation, batch_size)
        self._prediction_batches: dict[str, Any] = {}

    def fit(
        self, model: keras.Model, options: BatchOptions, epochs: Epochs
    ) -> keras.callbacks.History:
        """Train a compiled model on the training split."""
        windows = self.selection.in_split("train")
        n_skipped = epochs.n_done * epochs.n_steps
        if BACKEND == "tensorflow":
            batches = make_batches(
                self.dataset, windows, self.for_training, self.batch_size, options
            )
            if self.for_training is not None:
                models.check_inputs(model, batches.element_spec[0])
            batches = batches.repeat().skip(n_skipped)
        else:
            converted = self._convert_batches(windows, options)
            batches = (batch for batch in itertools.islice(converted, n_skipped, None))
        return model.fit(
            batches,
            epochs=epochs.n_epochs,
            steps_per_epoch=epochs.n_steps,
            callbacks=list(epochs.callbacks),
            shuffle=False,  # the input pipeline shuffles
            initial_epoch=epochs.n_done,
            verbose=epochs.verbose,
        )

    def predict(self, model: keras.Model, split: str) -> np.ndarray:
        """Predict the windows of a split, in their order."""
        windows = self.selection.in_split(split)
        if split not in self._prediction_batches:
            places = place_windows(len(windows.rows), self.prediction_size)
            self._prediction_batches[split] = make_batches(
                self.dataset, windows.take(places.ravel()), self.for_prediction, places.shape[1]
            )
        outputs = model.predict(self._prediction_batches[split], verbose=0)
        return outputs[: len(windows.rows)]

    def compute_representations(
        self, representations: keras.Model, windows: Selection, options: BatchOptions
    ) -> Iterator[dict[str, np.ndarray]]:
        """Compute the representations of windows, batch by batch."""
        in_pipeline = BACKEND == "tensorflow"
        through = representations if in_pipeline else None
        for x, *_ in make_batches(self.dataset, windows, through, self.batch_size, options):
            if not in_pipeline:
                inputs = keras.tree.map_structure(np.asarray, list_inputs(x))
                x = representations.predict_on_batch(inputs)
            yield {name: ops.convert_to_numpy(values) for name, values in x.items()}

    def _convert_batches(self, windows: Selection, options: BatchOptions) -> Iterator[tuple]:
        """Yield batches of the backend, augmented there: the input pipeline cannot call it.

        Keras would begin an epoch of the input pipeline before the first, to look at a batch.
        """
        plain = dataclasses.replace(options, augment=None)
        for batch in make_batches(self.dataset, windows, None, self.batch_size, plain).repeat():
            tensors = keras.tree.map_structure(lambda x: ops.convert_to_tensor(x.numpy()), batch)
            yield options.augment(*tensors) if options.augment else tensors
