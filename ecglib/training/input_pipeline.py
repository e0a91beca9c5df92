"""The tf.data input pipeline: windows -> ``{representation: array}``, labels.

Every representation is computed from the same window in the same element, so they cannot get out of
step. Only row numbers are shuffled, in a new order each epoch; a batch is one gather from the
memory-mapped int16 samples, which become float32 mV, all in the graph. So memory does not grow with
the number of samples.
"""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import ctypes
import dataclasses
import itertools
import os
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.datasets.units import STEP_MV
from ecglib.errors import ExperimentError
from ecglib.experiment.environment import THREADS_VARIABLE, read_threads_variable

N_THREADS, N_THREADS_WITH_GPU = 1, 4  # of each operation, unless the variable says otherwise
N_PREFETCHED = 2  # batches that are ready before they are needed
N_PARALLEL = min(os.cpu_count() or 1, 4)  # batches that are prepared at a time


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
    augment : keras.Model, optional
        From mV to mV, called with ``training=True`` before the representations.
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
    augment: keras.Model | None = None
    shard: Shard = WHOLE


def choose_threads() -> int:
    """Choose the number of threads of each operation: the same for a run wherever it is started.

    It is the environment variable ``ECGLIB_THREADS``, or else 1 (4 with a GPU, where the bits are
    not the same anyway). The order in which an operation adds up depends on it, so it may not
    follow from the number of cores or of runs at the same time; a run records it. Several runs at
    a time use several cores better than several threads of one run.

    Raises
    ------
    ExperimentError
        If the variable is not a whole number from 1.

    Examples
    --------
    >>> os.environ["ECGLIB_THREADS"] = "2"
    >>> choose_threads()
    2
    >>> del os.environ["ECGLIB_THREADS"]
    """
    if threads := read_threads_variable():
        return threads
    return N_THREADS_WITH_GPU if tf.config.list_physical_devices("GPU") else N_THREADS


def count_threads() -> int:
    """Count the threads of an operation in this process: what TensorFlow was started with.

    Examples
    --------
    >>> count_threads() >= 1
    True
    """
    given = tf.config.threading.get_intra_op_parallelism_threads()
    return given or int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0")) or os.cpu_count() or 1


def make_deterministic(seed: int) -> None:
    """Make what follows repeatable: seeds, deterministic operations, a fixed number of threads.

    The number of threads (`choose_threads`) cannot change after the first operation of TensorFlow;
    a warning says so, and the run records the number that it had.

    Parameters
    ----------
    seed : int
        Seed of Python, NumPy and the backend.

    Examples
    --------
    >>> make_deterministic(0)
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    threads = choose_threads()
    if threads == count_threads():
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        warnings.warn(
            f"{THREADS_VARIABLE}={threads} has no effect: TensorFlow already runs with "
            f"{count_threads()} threads, and the last digits of results depend on the number. "
            f"Train before anything else in this process, or restart it.",
            stacklevel=2,
        )


def find_strategy(kind: str = "GPU") -> tf.distribute.Strategy:
    """Find the strategy that trains on all devices of a kind that TensorFlow sees.

    Each batch is divided among the devices and their gradients are added, so that one step of the
    training stays one step. Statistics of a batch (batch normalization) are those of each device's
    part. With one device, or none, nothing changes. ``CUDA_VISIBLE_DEVICES`` limits what is seen.

    Parameters
    ----------
    kind : str, default "GPU"
        Kind of the devices.

    Returns
    -------
    tf.distribute.Strategy
        Models built in its ``scope()`` train on all devices.

    Examples
    --------
    >>> find_strategy("no such device").num_replicas_in_sync
    1
    """
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(devices)


def make_batches(
    dataset: Dataset,
    selection: Selection,
    representations: keras.Model | None,
    batch_size: int,
    options: BatchOptions | None = None,
) -> tf.data.Dataset:
    """Make batches of ``({representation: array}, y)`` or ``(..., y, weight)``.

    With tabular values (`Selection.tabular`) the model of the representations is given these too;
    without it the batches then hold ``{"signal": windows, "tabular": values}``.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    selection : Selection
        The windows.
    representations : keras.Model or None
        From windows (or crops) in mV, (n_windows, n_samples, n_leads), and the tabular values, to
        the representations; None for batches of the windows in mV themselves.
    batch_size : int
        Windows in a batch; the last batch may be smaller.
    options : BatchOptions, optional
        How windows are drawn, cropped, weighted and augmented; by default whole windows in the
        order of the selection.

    Returns
    -------
    tf.data.Dataset
        One epoch; iterate again for the next.

    Raises
    ------
    ExperimentError
        If there are fewer windows than workers, if the representations take other windows, or if
        crops or sampling weights have no `shuffle_seed`.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     windows = dataset.select("superdiagnostic").in_split("train")
    ...     x, y = next(iter(make_batches(dataset, windows, None, batch_size=4)))
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 1000, 12), (4, 5))
    """
    options = options or BatchOptions()
    n_samples = options.crop or dataset.signal.n_samples
    _check_options(selection, options)
    _check_representations(selection, representations, n_samples)
    order = _EpochOrder(dataset, selection.rows, options)
    gather = _Gather(dataset, selection, options)
    has_tabular = selection.tabular.shape[1] > 0

    def represent(signal_mv: Tensor, *rest: Tensor) -> tuple:
        if not has_tabular:
            return signal_mv if representations is None else representations(signal_mv), *rest
        values, *others = rest
        if representations is None:
            return {"signal": signal_mv, "tabular": values}, *others
        return representations([signal_mv, values]), *others

    batches = order.make_batches(batch_size)
    parallel: dict[str, Any] = {"num_parallel_calls": N_PARALLEL, "deterministic": True}
    augment = options.augment
    if augment is None:
        batches = batches.map(lambda *place: represent(*gather(*place)), **parallel)
    else:
        batches = batches.map(gather, **parallel)
        # One after the other, as each draws where the one before stopped.
        batches = batches.map(lambda x, *rest: (augment(x, training=True), *rest))
        batches = batches.map(represent, **parallel)
    tf_options = tf.data.Options()
    tf_options.autotune.enabled = False  # there is nothing to tune, and tuning costs a tenth
    # Rewriting the graph would copy the samples into it.
    tf_options.experimental_optimization.apply_default_optimizations = False
    n_batches = -(-order.n_windows // batch_size)
    batches = batches.apply(tf.data.experimental.assert_cardinality(n_batches))
    return batches.prefetch(N_PREFETCHED).with_options(tf_options)


class _Gather:
    """Gathers one batch: windows or crops in mV, then the arrays that go with each window.

    All in the graph: handing a batch over from Python takes longer than gathering it.
    """

    def __init__(self, dataset: Dataset, selection: Selection, options: BatchOptions):
        n_samples = options.crop or dataset.signal.n_samples
        starts = dataset.starts[selection.rows]
        # Whole windows one after another are copied whole, others sample by sample.
        block = 1 if options.crop else int(np.gcd.reduce(starts, initial=n_samples))
        index = tf.int32 if len(dataset.steps) < 2**31 else tf.int64
        arrays = [selection.tabular] if selection.tabular.shape[1] else []
        arrays += [selection.y, *([] if options.weights is None else [options.weights])]
        with tf.device("CPU"):
            self.blocks = _map_samples(dataset.steps, block)
            self.starts = tf.constant(starts // block, index)
            self.span = tf.range(n_samples // block, dtype=index)
            self.arrays = [tf.constant(array, tf.float32) for array in arrays]
        self.shape = (None, n_samples, len(dataset.signal.leads))

    def __call__(self, which: Tensor, offsets: Tensor) -> tuple:
        """Tensors of a batch, from the places in the selection and the offsets in samples."""
        starts = tf.gather(self.starts, which) + tf.cast(offsets, self.span.dtype)
        steps = tf.gather_nd(self.blocks, (starts[:, None] + self.span)[..., None])
        steps = tf.reshape(steps, (-1, *self.shape[1:]))
        return tf.cast(steps, tf.float32) * STEP_MV, *(tf.gather(x, which) for x in self.arrays)


def _map_samples(steps: np.ndarray, block: int) -> Tensor:
    """The samples of a store as tensor of shape (n_blocks, block, n_leads), mapped, not copied."""
    # DLPack takes over memory that may be written to. This may not, and nothing does.
    memory: Any = (ctypes.c_int16 * steps.size).from_address(steps.ctypes.data)
    memory.owner = steps  # the mapping lasts as long as the tensor
    n_blocks, n_leads = len(steps) // block, steps.shape[1]
    values = np.frombuffer(memory, np.int16, n_blocks * block * n_leads)
    tensor = tf.experimental.dlpack.from_dlpack(values.__dlpack__())
    return tf.reshape(tensor, (n_blocks, block, n_leads))


class _EpochOrder:
    """Which windows, and from where, in each epoch: a function of seed and epoch number only."""

    def __init__(self, dataset: Dataset, rows: np.ndarray, options: BatchOptions):
        self.seed, self.sampling_weights = options.shuffle_seed, options.sampling_weights
        self.shard = options.shard
        self.n_all, self.n_windows = len(rows), len(rows) // options.shard.count
        self.spare: np.ndarray | None = None  # samples by which a crop can start later
        if options.crop:
            n_measured = dataset.windows["n_measured"].to_numpy()[rows]
            last = np.minimum(n_measured, dataset.signal.n_samples) - options.crop
            self.spare = np.maximum(last, 0)
        self.numbers = itertools.count()

    def make_batches(self, batch_size: int) -> tf.data.Dataset:
        """For each batch of the epoch that begins, what `_Gather` takes."""

        def begin(_: Tensor) -> tuple[Tensor, Tensor]:
            which, offsets = tf.numpy_function(self.next, [], [tf.int32, tf.int32])
            return tf.ensure_shape(which, [None]), tf.ensure_shape(offsets, [None])

        return tf.data.Dataset.range(1).map(begin).unbatch().batch(batch_size)

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Places in the selection and offsets in samples of the next epoch, each (n_windows,)."""
        return self._order(next(self.numbers))

    def _order(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        which = np.arange(self.n_all, dtype=np.int32)
        if self.seed is not None:
            np.random.default_rng([self.seed, number]).shuffle(which)  # the same for all workers
        which = which[self.shard.index :: self.shard.count][: self.n_windows]
        if self.seed is None:
            return which, np.zeros_like(which)
        rng = np.random.default_rng([self.seed, number, 1 + self.shard.index])
        if self.sampling_weights is not None:
            sums = np.cumsum(self.sampling_weights[which])
            drawn = np.searchsorted(sums, rng.random(len(which)) * sums[-1], side="right")
            which = which[np.minimum(drawn, len(which) - 1)]
        if self.spare is None:
            return which, np.zeros_like(which)
        return which, rng.integers(0, self.spare[which] + 1, dtype=np.int32)


def _check_options(selection: Selection, options: BatchOptions) -> None:
    if len(selection.rows) < options.shard.count:
        raise ExperimentError(
            f"{len(selection.rows)} windows are too few for {options.shard.count} workers. Use "
            f"fewer workers."
        )
    draws = options.crop or options.sampling_weights is not None
    if draws and options.shuffle_seed is None:
        raise ExperimentError(
            "Random crops and sampling weights need a shuffle_seed: give a whole number."
        )


def _check_representations(
    selection: Selection, representations: keras.Model | None, n_samples: int
) -> None:
    if representations is None:
        return
    expected = representations.inputs[0].shape[1]
    if expected != n_samples:
        raise ExperimentError(
            f"The representations take windows of {expected} samples, but these have {n_samples}. "
            f"Build the representations for these windows, or for the crops."
        )
    if len(representations.inputs) > 1 and not selection.tabular.shape[1]:
        raise ExperimentError(
            "The representations take tabular values, but none were selected. Select the windows "
            "with them: `Dataset.select(task, columns)`."
        )
