"""Which windows an epoch has, in which order, and from where: the same on each backend."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ecglib.errors import ExperimentError

if TYPE_CHECKING:
    from ecglib.datasets.store import Dataset
    from ecglib.training.augmentation import BatchAugmentation


PREDICTION_FACTOR = 4  # of the size of a batch when predicting to that when training


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which of several workers gets these windows; each gets as many others in every epoch.

    Parameters
    ----------
    index : int
        Number of this worker, from 0.
    count : int
        Number of all workers.

    Raises
    ------
    ExperimentError
        If the index is not below the count.

    Examples
    --------
    >>> Shard(index=0, count=2)
    Shard(index=0, count=2)
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ExperimentError(
                f"index={self.index} of {self.count} workers must be from 0 to {self.count - 1}."
            )


WHOLE = Shard(0, 1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BatchOptions:
    """How windows are drawn, cropped, weighted and augmented.

    Parameters
    ----------
    shuffle_seed : int, optional
        Decides the order of the windows, which is new in each epoch; None for the order of the
        selection.
    weights : array of shape (n_windows,), optional
        Weight of each window in the loss.
    crop : int, default 0
        Samples of one random crop of each window, at another place in each epoch, within what was
        measured where that is longer; 0 for the whole window.
    sampling_weights : array of shape (n_windows,), optional
        Probability with which each window is drawn. As many are drawn as there are windows, some
        more than once and others not in this epoch.
    augment : BatchAugmentation, optional
        Changes each batch in mV, before the representations.
    shard : Shard, default Shard(0, 1)
        The part of the windows that this worker gets; fewer than `count` windows are left out.

    Examples
    --------
    >>> BatchOptions(shuffle_seed=3).crop
    0
    """

    shuffle_seed: int | None = None
    weights: np.ndarray | None = None
    crop: int = 0
    sampling_weights: np.ndarray | None = None
    augment: BatchAugmentation | None = None
    shard: Shard = WHOLE


class Places(NamedTuple):
    """Which windows, and from where in each.

    Parameters
    ----------
    which : array of shape (n_windows,)
        Places in the selection.
    offsets : array of shape (n_windows,)
        Samples by which a crop starts later than its window.

    Examples
    --------
    >>> Places(np.array([2, 0]), np.array([0, 31])).which.tolist()
    [2, 0]
    """

    which: np.ndarray
    offsets: np.ndarray


class EpochOrder:
    """The windows of each epoch: a function of the seed and of the number of the epoch only.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    rows : array of int
        Rows of the windows.
    options : BatchOptions
        How they are drawn and cropped.

    Raises
    ------
    ExperimentError
        If there are fewer windows than workers, or crops or sampling weights have no
        `shuffle_seed`.

    Examples
    --------
    >>> order = EpochOrder(None, np.arange(5), BatchOptions(shuffle_seed=0))
    >>> first, second = order.next().which, order.next().which
    >>> sorted(first.tolist()), bool((first == second).all())
    ([0, 1, 2, 3, 4], False)
    """

    def __init__(self, dataset: Dataset | None, rows: np.ndarray, options: BatchOptions):
        _check_options(rows, options)
        self.seed, self.sampling_weights = options.shuffle_seed, options.sampling_weights
        self.shard = options.shard
        self.n_all, self.n_windows = len(rows), len(rows) // options.shard.count
        self.spare: np.ndarray | None = None  # samples by which a crop can start later
        if options.crop and dataset is not None:
            n_measured = dataset.windows["n_measured"].to_numpy()[rows]
            last = np.minimum(n_measured, dataset.signal.n_samples) - options.crop
            self.spare = np.maximum(last, 0)
        self.numbers = itertools.count()

    def next(self) -> Places:
        """Return the windows of the next epoch."""
        return self._order(next(self.numbers))

    def draw(self, n_windows: int, n_skipped: int = 0) -> Iterator[Places]:
        """Draw groups of `n_windows` for ever: where an epoch ends, the next goes on.

        Parameters
        ----------
        n_windows : int
            Windows in each group.
        n_skipped : int, default 0
            Windows that were drawn before.

        Examples
        --------
        >>> order = EpochOrder(None, np.arange(3), BatchOptions())
        >>> groups = order.draw(2)
        >>> [next(groups).which.tolist() for _ in range(3)]
        [[0, 1], [2, 0], [1, 2]]
        """
        n_passes, n_of_next = divmod(n_skipped, self.n_windows)
        self.numbers = itertools.count(n_passes)
        which, offsets = (values[n_of_next:] for values in self.next())
        while True:
            while len(which) < n_windows:
                more = self.next()
                which = np.concatenate([which, more.which])
                offsets = np.concatenate([offsets, more.offsets])
            yield Places(which[:n_windows], offsets[:n_windows])
            which, offsets = which[n_windows:], offsets[n_windows:]

    def _order(self, number: int) -> Places:
        which = np.arange(self.n_all, dtype=np.int32)
        if self.seed is not None:
            np.random.default_rng([self.seed, number]).shuffle(which)  # the same for all workers
        which = which[self.shard.index :: self.shard.count][: self.n_windows]
        if self.seed is None:
            return Places(which, np.zeros_like(which))
        rng = np.random.default_rng([self.seed, number, 1 + self.shard.index])
        if self.sampling_weights is not None:
            sums = np.cumsum(self.sampling_weights[which])
            drawn = np.searchsorted(sums, rng.random(len(which)) * sums[-1], side="right")
            which = which[np.minimum(drawn, len(which) - 1)]
        if self.spare is None:
            return Places(which, np.zeros_like(which))
        return Places(which, rng.integers(0, self.spare[which] + 1, dtype=np.int32))


def place_windows(n_windows: int, batch_size: int) -> np.ndarray:
    """Place all windows in full batches, in their order; the last window fills up the last batch.

    A batch of another size would be traced or compiled again.

    Parameters
    ----------
    n_windows : int
        Number of windows.
    batch_size : int
        Windows in a batch.

    Returns
    -------
    array of shape (n_batches, batch_size)
        Numbers of the windows.

    Examples
    --------
    >>> place_windows(3, batch_size=2).tolist()
    [[0, 1], [2, 2]]
    """
    n_batches = -(-n_windows // batch_size)
    numbers = np.minimum(np.arange(n_batches * batch_size, dtype=np.int32), n_windows - 1)
    return numbers.reshape(n_batches, batch_size)


def choose_prediction_size(n_validation: int, batch_size: int) -> int:
    """Choose the size of prediction batches, so that the validation split fills them up.

    Parameters
    ----------
    n_validation : int
        Windows of the validation split.
    batch_size : int
        Windows in a training batch.

    Examples
    --------
    >>> choose_prediction_size(500, batch_size=64)
    250
    """
    n_batches = -(-n_validation // (PREDICTION_FACTOR * batch_size))
    return -(-n_validation // n_batches)


def list_inputs(x: Any) -> Any:
    """List windows and tabular values as the model of the representations takes them.

    Parameters
    ----------
    x : tensor or dict of str to tensor
        Windows, or these as "signal" beside "tabular".

    Examples
    --------
    >>> list_inputs({"signal": 1, "tabular": 2}), list_inputs(1)
    ([1, 2], 1)
    """
    return [x["signal"], x["tabular"]] if isinstance(x, dict) else x


def _check_options(rows: np.ndarray, options: BatchOptions) -> None:
    if len(rows) < options.shard.count:
        raise ExperimentError(
            f"{len(rows)} windows are too few for {options.shard.count} workers. Use fewer workers."
        )
    draws = options.crop or options.sampling_weights is not None
    if draws and options.shuffle_seed is None:
        raise ExperimentError(
            "Random crops and sampling weights need a shuffle_seed: give a whole number."
        )
