"""tf.data: windows -> ``{representation: array}``, labels.

Every view is computed from the same window in the same element, so that views cannot drift apart.
"""

import ecglib.quiet  # noqa: F401

import os

import keras
import numpy as np
import tensorflow as tf

from ecglib.datasets.signals import STEP_MV
from ecglib.datasets.store import Dataset, Selection

THREADS_VARIABLE = "ECGLIB_THREADS"


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
    views: keras.Model,
    batch_size: int,
    shuffle_seed: int | None = None,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches of ``({representation: array}, y)`` or ``(..., y, weight)``.

    Parameters
    ----------
    dataset
        the opened store.
    selection
        the windows to feed.
    views
        model from windows in mV, (n_windows, n_samples, n_leads), to the views.
    batch_size
        windows in a batch; the last batch may be smaller.
    shuffle_seed
        order of the windows, new in each pass; without it the order of `selection`.
    weights
        array of shape (n_windows,), weight of each window in the loss.
    """
    arrays = [selection.rows, selection.y.astype(np.float32)]
    if weights is not None:
        arrays.append(np.asarray(weights, np.float32))
    batches = tf.data.Dataset.from_tensor_slices(tuple(arrays))
    if shuffle_seed is not None:
        batches = batches.shuffle(len(selection.rows), seed=shuffle_seed)
    shape = (None, dataset.signal.n_samples, len(dataset.signal.leads))

    def gather(rows, *rest):
        steps = tf.numpy_function(dataset.read_steps, [rows], tf.int16)
        signal_mv = tf.cast(tf.ensure_shape(steps, shape), tf.float32) * STEP_MV
        return views(signal_mv), *rest

    return batches.batch(batch_size).map(gather).prefetch(tf.data.AUTOTUNE)
