"""The tf.data input pipeline: windows -> ``{representation: array}``, labels.

Every representation is computed from the same window in the same element, so they cannot get out of
step. Only row numbers are shuffled, in a new order each epoch; a batch is one gather from the
memory-mapped int16 samples, which become float32 mV, all in the graph. So memory does not grow with
the number of samples.
"""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor, suppress_stderr

import ctypes
import os
import sys
from typing import Any

import keras
import numpy as np

if "tensorflow" not in sys.modules:  # Keras runs on another backend
    with suppress_stderr():
        import tensorflow  # noqa: F401
import tensorflow as tf

from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.datasets.units import STEP_MV
from ecglib.errors import ExperimentError
from ecglib.training.epoch_order import BatchOptions, EpochOrder, list_inputs

N_PREFETCHED = 2  # batches that are ready before they are needed
N_PARALLEL = min(os.cpu_count() or 1, 4)  # batches that are prepared at a time

if keras.backend.backend() != "tensorflow":  # the other has the GPU, and TensorFlow only reads
    tf.config.set_visible_devices([], "GPU")


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
    order = EpochOrder(dataset, selection.rows, options)
    _check_representations(selection, representations, n_samples)
    gather = _Gather(dataset, selection, options)
    has_tabular = selection.tabular.shape[1] > 0

    def collect(which: Tensor, offsets: Tensor) -> tuple:
        signal_mv, *rest = gather(which, offsets)
        if not has_tabular:
            return signal_mv, *rest
        values, *others = rest
        return {"signal": signal_mv, "tabular": values}, *others

    def represent(x: Any, *rest: Tensor) -> tuple:
        if representations is None:
            return x, *rest
        return representations(list_inputs(x)), *rest

    batches = _make_places(order, batch_size)
    parallel: dict[str, Any] = {"num_parallel_calls": N_PARALLEL, "deterministic": True}
    if options.augment is None:
        batches = batches.map(lambda *places: represent(*collect(*places)), **parallel)
    else:
        # One after the other, as each draws where the one before stopped.
        batches = batches.map(collect, **parallel).map(options.augment)
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


def _make_places(order: EpochOrder, batch_size: int) -> tf.data.Dataset:
    """For each batch of the epoch that begins, what `_Gather` takes."""

    def begin(_: Tensor) -> tuple[Tensor, Tensor]:
        which, offsets = tf.numpy_function(order.next, [], [tf.int32, tf.int32])
        return tf.ensure_shape(which, [None]), tf.ensure_shape(offsets, [None])

    return tf.data.Dataset.range(1).map(begin).unbatch().batch(batch_size)


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
