"""What is changed in the batches of a training: augmented windows, mixed pairs."""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import contextlib
from typing import Any

import keras

from ecglib.datasets.schema import SignalSpec
from ecglib.experiment import Experiment
from ecglib.preprocessing.augmentation import build_augmentation
from ecglib.training.mixup import Mixup


class BatchAugmentation:
    """Augments the windows of a batch in mV, then mixes them in pairs.

    It draws where it stopped, so it must not be called in parallel.

    Parameters
    ----------
    augmentation : keras.Model or None
        From mV to mV (`ecglib.preprocessing.augmentation.build_augmentation`).
    mixup : Mixup or None
        Mixes windows and labels.

    Examples
    --------
    >>> import numpy as np
    >>> augment = BatchAugmentation(None, Mixup(alpha=0.2, seed=0))
    >>> x, y = augment(np.ones((2, 4, 1), "float32"), np.eye(2, dtype="float32"))
    >>> tuple(x.shape), len(augment.variables)
    ((2, 4, 1), 1)
    """

    def __init__(self, augmentation: keras.Model | None, mixup: Mixup | None):
        self.augmentation, self.mixup = augmentation, mixup

    @property
    def variables(self) -> list[keras.Variable]:
        """The states of the random draws."""
        variables = list(self.augmentation.variables) if self.augmentation else []
        return variables + ([self.mixup.seeds.state] if self.mixup else [])

    def __call__(self, x: Any, y: Tensor, *weight: Tensor) -> tuple:
        """Change one batch.

        Parameters
        ----------
        x : tensor or dict of str to tensor
            Windows in mV, (n_windows, n_samples, n_leads), or these as "signal" beside "tabular".
        y : tensor of shape (n_windows, n_classes)
            Labels.
        *weight : tensor of shape (n_windows,)
            Their weights, if they have any.
        """
        if self.augmentation and isinstance(x, dict):
            x = {**x, "signal": self.augmentation(x["signal"], training=True)}
        elif self.augmentation:
            x = self.augmentation(x, training=True)
        return self.mixup(x, y, *weight) if self.mixup else (x, y, *weight)


def build_batch_augmentation(
    signal: SignalSpec, experiment: Experiment, seed: int
) -> BatchAugmentation | None:
    """Build what an experiment changes in its training batches.

    Parameters
    ----------
    signal : SignalSpec
        Of the windows or crops.
    experiment : Experiment
        Its settings `augment` and `mixup` are read.
    seed : int
        Decides what is drawn.

    Returns
    -------
    BatchAugmentation or None
        None if nothing is changed.

    Examples
    --------
    >>> settings = {"dataset": "synthetic", "fingerprint": "0123", "task": "rhythm"}
    >>> settings["branches"] = {"time": "cnn"}
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I", "II"))
    >>> build_batch_augmentation(signal, Experiment.from_flat(settings), seed=0) is None
    True
    """
    augment, alpha = experiment.inputs.augment, experiment.training.mixup
    if not (augment or alpha):
        return None
    # An input pipeline of TensorFlow runs on the CPU, and the state of the draws has to be there.
    on_cpu = keras.backend.backend() == "tensorflow"
    with keras.device("cpu") if on_cpu else contextlib.nullcontext():
        mixup = Mixup(alpha, seed) if alpha else None
        return BatchAugmentation(build_augmentation(signal, augment, seed), mixup)
