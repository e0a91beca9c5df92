"""tf.data: windows -> ``{representation: array}``, labels.

Every view is computed from the same window in the same element, so that views cannot drift apart.
Only row numbers are shuffled, anew in each pass; a batch is one gather from the memory-mapped
int16 samples, which become float32 mV in the graph. So memory does not grow with the samples.
"""

import ecglib.quiet  # noqa: F401

import functools
import itertools
import os

import keras
import numpy as np
import tensorflow as tf

from ecglib.datasets.signals import STEP_MV
from ecglib.datasets.store import Dataset, Selection
from ecglib.errors import ExperimentError

THREADS_VARIABLE = "ECGLIB_THREADS"
AHEAD = 2  # batches that are ready before they are asked for
AT_ONCE = min(os.cpu_count() or 1, 4)  # batches that are made at a time


def configure(seed: int) -> None:
    """Make what follows repeatable: seeds, deterministic operations, a fixed thread count.

    The environment variable ``ECGLIB_THREADS`` bounds the threads of a process, so that several
    runs share a machine; it must be set before TensorFlow's first operation.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    if threads := int(os.environ.get(THREADS_VARIABLE, "0")):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def feed(
    dataset: Dataset,
    selection: Selection,
    views: keras.Model | None,
    batch_size: int,
    shuffle_seed: int | None = None,
    weights: np.ndarray | None = None,
    *,
    crop: int = 0,
    chances: np.ndarray | None = None,
    augment: keras.Model | None = None,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches of ``({representation: array}, y)`` or ``(..., y, weight)``.

    With tabular values (`Selection.tabular`) the views are given these too; without views the
    batches then hold ``{"signal": windows, "tabular": values}``.

    Parameters
    ----------
    dataset
        the opened store.
    selection
        the windows to feed.
    views
        model from windows (or crops) in mV, (n_windows, n_samples, n_leads), and the tabular
        values, to the views; without it the batches hold the windows in mV themselves.
    batch_size
        windows in a batch; the last batch may be smaller.
    shuffle_seed
        order of the windows, new in each pass; without it the order of `selection`.
    weights
        array of shape (n_windows,), weight of each window in the loss.
    crop
        samples of one random crop of each window, elsewhere in each pass, within what was
        measured where that is longer; 0 for the whole window.
    chances
        array of shape (n_windows,), how likely each window is drawn: as many as there are, one
        drawn more than once and another not in this pass.
    augment
        model from mV to mV, called with ``training=True`` before the views.
    shard
        ``(index, count)`` of this worker and of all, from 0: in each pass the workers get
        different windows, all the same number; fewer than `count` windows are left out.

    Raises
    ------
    ExperimentError
        the windows are too few for the workers, the views do not take these windows, or a crop or
        chances without `shuffle_seed`.
    """
    n_samples = crop or dataset.signal.n_samples
    _check_feed(selection, views, n_samples, shard, shuffle_seed, crop or chances is not None)
    passes = _Passes(dataset, selection.rows, shuffle_seed, crop, chances, shard)
    gather = _Gather(dataset, selection, weights, passes, batch_size, crop)
    tabular = selection.tabular.shape[1] > 0

    def view(signal_mv, *rest):
        if not tabular:
            return signal_mv if views is None else views(signal_mv), *rest
        values, *rest = rest
        if views is None:
            return {"signal": signal_mv, "tabular": values}, *rest
        return views([signal_mv, values]), *rest

    n_batches = -(-passes.n_windows // batch_size)

    def places(_):
        number = tf.numpy_function(passes.next, [], tf.int64)
        return tf.stack([tf.fill([n_batches], number), tf.range(n_batches, dtype=tf.int64)], axis=1)

    batches = tf.data.Dataset.range(1).map(places).unbatch()
    at_once = {"num_parallel_calls": AT_ONCE, "deterministic": True}
    if augment is None:
        batches = batches.map(lambda place: view(*gather(place)), **at_once)
    else:
        batches = batches.map(gather, **at_once)
        # One after the other, as each draws where the one before stopped.
        batches = batches.map(lambda x, *rest: (augment(x, training=True), *rest))
        batches = batches.map(view, **at_once)
    options = tf.data.Options()
    options.autotune.enabled = False  # there is nothing to tune, and tuning costs a tenth
    batches = batches.apply(tf.data.experimental.assert_cardinality(n_batches))
    return batches.prefetch(AHEAD).with_options(options)


class _Gather:
    """One batch: windows or crops in mV, then the arrays that go with each window."""

    def __init__(self, dataset, selection, weights, passes, batch_size: int, crop: int):
        self.dataset, self.rows, self.passes = dataset, selection.rows, passes
        self.batch_size, self.crop = batch_size, crop
        self.shape = (None, crop or dataset.signal.n_samples, len(dataset.signal.leads))
        arrays = [selection.tabular] if selection.tabular.shape[1] else []
        arrays += [selection.y, *([] if weights is None else [weights])]
        self.arrays = [np.asarray(array, np.float32) for array in arrays]

    def __call__(self, place):
        """Tensors of a batch; `place` holds the numbers of the pass and of the batch in it."""
        types = [tf.int16, *(tf.float32 for _ in self.arrays)]
        # The same numbers give the same batch: without this they would be asked for in turn.
        steps, *rest = tf.numpy_function(self._read, [place], types, stateful=False)
        rest = [
            tf.ensure_shape(x, (None, *array.shape[1:]))
            for x, array in zip(rest, self.arrays, strict=True)
        ]
        return tf.cast(tf.ensure_shape(steps, self.shape), tf.float32) * STEP_MV, *rest

    def _read(self, place: np.ndarray):
        number, batch = place.tolist()
        which, offsets = self.passes.order(number)
        own = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        rows = self.rows[which[own]]
        if self.crop:
            steps = self.dataset.read_crops(rows, offsets[own], self.crop)
        else:
            steps = self.dataset.read_steps(rows)
        return steps, *(array[which[own]] for array in self.arrays)


class _Passes:
    """Which windows, and from where on, in each pass: a function of seed and pass number only."""

    def __init__(self, dataset, rows, seed, crop, chances, shard):
        self.seed, self.chances, (self.index, self.count) = seed, chances, shard
        self.n_all, self.n_windows = len(rows), len(rows) // shard[1]
        self.spare = None
        if crop:
            n_measured = dataset.windows["n_measured"].to_numpy()[rows]
            last = np.minimum(n_measured, dataset.signal.n_samples) - crop
            self.spare = np.maximum(last, 0).astype(np.int32)
        self._numbers = itertools.count()
        # A pass may begin while the last batches of the one before are still on their way.
        self.order = functools.lru_cache(maxsize=2)(self._order)

    def next(self) -> np.int64:
        """Number of the pass that begins."""
        return np.int64(next(self._numbers))

    def _order(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Places in the selection and offsets in samples, each (n_windows,)."""
        which = np.arange(self.n_all, dtype=np.int32)
        if self.seed is not None:
            np.random.default_rng([self.seed, number]).shuffle(which)  # for all workers the same
        which = which[self.index :: self.count][: self.n_windows]
        if self.seed is None:
            return which, None
        rng = np.random.default_rng([self.seed, number, 1 + self.index])
        if self.chances is not None:
            sums = np.cumsum(self.chances[which])
            drawn = np.searchsorted(sums, rng.random(len(which)) * sums[-1], side="right")
            which = which[np.minimum(drawn, len(which) - 1)]
        return which, None if self.spare is None else rng.integers(0, self.spare[which] + 1)


def _check_feed(selection, views, n_samples: int, shard, seed, draws: bool) -> None:
    index, count = shard
    if not 0 <= index < count:
        raise ExperimentError(
            f"shard={shard}, expected (index, count) with an index from 0 to count - 1."
        )
    if len(selection.rows) < count:
        raise ExperimentError(
            f"{len(selection.rows)} windows cannot be dealt to {count} workers. Use fewer workers."
        )
    if draws and seed is None:
        raise ExperimentError("Random crops and chances need a shuffle_seed; give one.")
    if views is None:
        return
    taken = views.inputs[0].shape[1]
    if taken != n_samples:
        raise ExperimentError(
            f"The views take windows of {taken} samples, {n_samples} would be fed. Build the views "
            f"for the windows, or for the crops, that are fed."
        )
    if len(views.inputs) > 1 and not selection.tabular.shape[1]:
        raise ExperimentError(
            "The views take tabular values, and none were selected. Select the windows with them: "
            "`Dataset.select(task, columns)`."
        )
