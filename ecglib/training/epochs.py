"""The epochs of a training."""

import ecglib._keras  # noqa: F401

import dataclasses
from collections.abc import Sequence

import keras


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Epochs:
    """How many epochs of how many steps, and what is called after them.

    Parameters
    ----------
    n_epochs : int
        All epochs.
    n_steps : int
        Steps of an epoch.
    n_done : int, default 0
        Epochs that were done before.
    callbacks : sequence of keras.callbacks.Callback, default ()
        In this order.
    verbose : int, default 0
        0 is silent, 1 shows a bar for each epoch, 2 a line.

    Examples
    --------
    >>> Epochs(n_epochs=10, n_steps=100).n_done
    0
    """

    n_epochs: int
    n_steps: int
    n_done: int = 0
    callbacks: Sequence[keras.callbacks.Callback] = ()
    verbose: int = 0
