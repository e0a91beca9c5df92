"""tf.data: windows -> ``{representation: array}``, labels.

Every view is computed from the same window in the same element, so that views cannot drift apart.
Only row numbers are shuffled, anew in each pass; a batch is one gather from the memory-mapped
int16 samples, which become float32 mV, all in the graph. So memory does not grow with the samples.
"""

import ecglib._keras  # noqa: F401

import ctypes
import itertools
import os
import warnings

import keras
import numpy as np
import tensorflow as tf

from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.datasets.units import STEP_MV
from ecglib.errors import ExperimentError

THREADS_VARIABLE = "ECGLIB_THREADS"
AHEAD = 2  # batches that are ready before they are asked for
AT_ONCE = min(os.cpu_count() or 1, 4)  # batches that are made at a time


def configure(seed: int) -> None:
    """Make what follows repeatable: seeds, deterministic operations, a fixed thread count.

    The environment variable ``ECGLIB_THREADS`` bounds the threads of a process, so that several
    runs share a machine. Set after TensorFlow's first operation it changes nothing, and a warning
    says so.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    if threads := int(os.environ.get(THREADS_VARIABLE, "0")):
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            warnings.warn(
                f"{THREADS_VARIABLE}={threads} comes too late: TensorFlow already runs with other "
                f"threads. To bound them, start Python anew with it.",
                stacklevel=2,
            )


def accelerators(kind: str = "GPU") -> tf.distribute.Strategy:
    """All devices of a kind that TensorFlow sees; ``.scope()`` makes models train on all of them.

    Each batch is dealt among them and their gradients are added up, so that one step of the
    training stays one step. Statistics of a batch (batch normalisation) are those of each device's
    share. With one device, or none, nothing is changed. ``CUDA_VISIBLE_DEVICES`` bounds what is
    seen.
    """
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(devices)


def feed(
    dataset: Dataset,
    selection: Selection,
    views: keras.Model | None,
    batch_size: int,
    shuffle_seed: int | None = None,
    weights: np.ndarray | None = None,
    *,
    crop: int = 0,
    sampling_weights: np.ndarray | None = None,
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
    sampling_weights
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
        sampling_weights without `shuffle_seed`.
    """
    n_samples = crop or dataset.signal.n_samples
    _check_feed(
        selection, views, n_samples, shard, shuffle_seed, crop or sampling_weights is not None
    )
    passes = _Passes(dataset, selection.rows, shuffle_seed, crop, sampling_weights, shard)
    gather = _Gather(dataset, selection, weights, crop)
    tabular = selection.tabular.shape[1] > 0

    def view(signal_mv, *rest):
        if not tabular:
            return signal_mv if views is None else views(signal_mv), *rest
        values, *rest = rest
        if views is None:
            return {"signal": signal_mv, "tabular": values}, *rest
        return views([signal_mv, values]), *rest

    batches = passes.batches(batch_size)
    at_once = {"num_parallel_calls": AT_ONCE, "deterministic": True}
    if augment is None:
        batches = batches.map(lambda *place: view(*gather(*place)), **at_once)
    else:
        batches = batches.map(gather, **at_once)
        # One after the other, as each draws where the one before stopped.
        batches = batches.map(lambda x, *rest: (augment(x, training=True), *rest))
        batches = batches.map(view, **at_once)
    options = tf.data.Options()
    options.autotune.enabled = False  # there is nothing to tune, and tuning costs a tenth
    # Rewriting the graph would copy the samples into it.
    options.experimental_optimization.apply_default_optimizations = False
    n_batches = -(-passes.n_windows // batch_size)
    batches = batches.apply(tf.data.experimental.assert_cardinality(n_batches))
    return batches.prefetch(AHEAD).with_options(options)


class _Gather:
    """One batch: windows or crops in mV, then the arrays that go with each window.

    All in the graph: handing a batch over from Python takes longer than gathering it.
    """

    def __init__(self, dataset, selection, weights, crop: int):
        n_samples = crop or dataset.signal.n_samples
        starts = dataset.starts[selection.rows]
        # Whole windows one after another are copied whole, others sample by sample.
        block = 1 if crop else int(np.gcd.reduce(starts, initial=n_samples))
        index = tf.int32 if len(dataset.steps) < 2**31 else tf.int64
        arrays = [selection.tabular] if selection.tabular.shape[1] else []
        arrays += [selection.y, *([] if weights is None else [weights])]
        with tf.device("CPU"):
            self.blocks = _mapped(dataset.steps, block)
            self.starts = tf.constant(starts // block, index)
            self.span = tf.range(n_samples // block, dtype=index)
            self.arrays = [tf.constant(array, tf.float32) for array in arrays]
        self.shape = (None, n_samples, len(dataset.signal.leads))

    def __call__(self, which, offsets):
        """Tensors of a batch, from the places in the selection and the offsets in samples."""
        starts = tf.gather(self.starts, which) + tf.cast(offsets, self.span.dtype)
        steps = tf.gather_nd(self.blocks, (starts[:, None] + self.span)[..., None])
        steps = tf.reshape(steps, (-1, *self.shape[1:]))
        return tf.cast(steps, tf.float32) * STEP_MV, *(tf.gather(x, which) for x in self.arrays)


def _mapped(steps: np.memmap, block: int):
    """The samples of a store as tensor of shape (n_blocks, block, n_leads), mapped, not copied."""
    # DLPack takes over memory that may be written to. This may not, and nothing does.
    memory = (ctypes.c_int16 * steps.size).from_address(steps.ctypes.data)
    memory.owner = steps  # the mapping lasts as long as the tensor
    n_blocks, n_leads = len(steps) // block, steps.shape[1]
    values = np.frombuffer(memory, np.int16, n_blocks * block * n_leads)
    tensor = tf.experimental.dlpack.from_dlpack(values.__dlpack__())
    return tf.reshape(tensor, (n_blocks, block, n_leads))


class _Passes:
    """Which windows, and from where on, in each pass: a function of seed and pass number only."""

    def __init__(self, dataset, rows, seed, crop, sampling_weights, shard):
        self.seed, self.sampling_weights, (self.index, self.count) = seed, sampling_weights, shard
        self.n_all, self.n_windows = len(rows), len(rows) // shard[1]
        self.spare = None
        if crop:
            n_measured = dataset.windows["n_measured"].to_numpy()[rows]
            last = np.minimum(n_measured, dataset.signal.n_samples) - crop
            self.spare = np.maximum(last, 0)
        self.numbers = itertools.count()

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Of each batch of the pass that begins, what `_Gather` takes."""

        def begin(_):
            which, offsets = tf.numpy_function(self.next, [], [tf.int32, tf.int32])
            return tf.ensure_shape(which, [None]), tf.ensure_shape(offsets, [None])

        return tf.data.Dataset.range(1).map(begin).unbatch().batch(batch_size)

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Places in the selection and offsets in samples of the next pass, each (n_windows,)."""
        return self._order(next(self.numbers))

    def _order(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        which = np.arange(self.n_all, dtype=np.int32)
        if self.seed is not None:
            np.random.default_rng([self.seed, number]).shuffle(which)  # for all workers the same
        which = which[self.index :: self.count][: self.n_windows]
        if self.seed is None:
            return which, np.zeros_like(which)
        rng = np.random.default_rng([self.seed, number, 1 + self.index])
        if self.sampling_weights is not None:
            sums = np.cumsum(self.sampling_weights[which])
            drawn = np.searchsorted(sums, rng.random(len(which)) * sums[-1], side="right")
            which = which[np.minimum(drawn, len(which) - 1)]
        if self.spare is None:
            return which, np.zeros_like(which)
        return which, rng.integers(0, self.spare[which] + 1, dtype=np.int32)


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
        raise ExperimentError("Random crops and sampling_weights need a shuffle_seed; give one.")
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
