"""The threads and devices that Keras' backend computes with, and repeatable results on them."""

import ecglib._keras

import contextlib
import os
import warnings
from contextlib import AbstractContextManager

import keras

from ecglib.experiment.environment import THREADS_VARIABLE, read_threads_variable

BACKEND = keras.backend.backend()
N_THREADS, N_THREADS_WITH_GPU = 1, 4  # of each operation, unless the variable says otherwise

if BACKEND == "tensorflow":
    import tensorflow as tf
elif BACKEND == "jax":
    import jax
elif BACKEND == "torch":
    import torch


def has_gpu() -> bool:
    """Tell whether the backend sees a GPU.

    Examples
    --------
    >>> has_gpu() in (True, False)
    True
    """
    if BACKEND == "tensorflow":
        return bool(tf.config.list_physical_devices("GPU"))
    return torch.cuda.is_available() if BACKEND == "torch" else jax.default_backend() == "gpu"


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
    # JAX has read the number when it was imported (`ecglib._keras`), before it looked for a GPU.
    return N_THREADS_WITH_GPU if BACKEND != "jax" and has_gpu() else N_THREADS


def count_threads() -> int:
    """Count the threads of an operation in this process: what the backend was started with.

    Examples
    --------
    >>> count_threads() >= 1
    True
    """
    n_cores = os.cpu_count() or 1
    if BACKEND == "torch":
        return torch.get_num_threads()
    if BACKEND == "jax":
        return int(os.environ.get(ecglib._keras.JAX_THREADS_VARIABLE, "0")) or n_cores
    given = tf.config.threading.get_intra_op_parallelism_threads()
    return given or int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0")) or n_cores


def make_deterministic(seed: int) -> None:
    """Make what follows repeatable: seeds, deterministic operations, a fixed number of threads.

    TensorFlow and JAX cannot change the number of threads (`choose_threads`) after their first
    operation; a warning says so, and the run records the number that it had.

    Parameters
    ----------
    seed : int
        Seed of Python, NumPy and the backend.

    Examples
    --------
    >>> make_deterministic(0)
    """
    keras.utils.set_random_seed(seed)
    threads = choose_threads()
    if BACKEND == "tensorflow":
        tf.config.experimental.enable_op_determinism()
    elif BACKEND == "torch":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_num_threads(threads)
    if threads != count_threads() and BACKEND == "tensorflow":
        with contextlib.suppress(RuntimeError):  # after the first operation
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
    if threads != count_threads():
        warnings.warn(
            f"{THREADS_VARIABLE}={threads} has no effect: {BACKEND} already runs with "
            f"{count_threads()} threads, and the last digits of results depend on the number. "
            f"Train before anything else in this process, or restart it.",
            stacklevel=2,
        )


def use_all_devices(kind: str = "GPU") -> AbstractContextManager:
    """Train models that are built in this context on all devices that TensorFlow sees.

    Each batch is divided among the devices and their gradients are added, so that one step of the
    training stays one step. Statistics of a batch (batch normalization) are those of each device's
    part. With one device, or none, and on JAX and PyTorch, nothing changes.
    ``CUDA_VISIBLE_DEVICES`` limits what is seen.

    Parameters
    ----------
    kind : str, default "GPU"
        Kind of the devices.

    Examples
    --------
    >>> with use_all_devices("no such device"):
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    """
    if BACKEND != "tensorflow":
        return contextlib.nullcontext()
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) < 2:
        return contextlib.nullcontext()
    return tf.distribute.MirroredStrategy(devices).scope()


def uses_several_devices() -> bool:
    """Tell whether models that are built here are trained on several devices.

    Examples
    --------
    >>> uses_several_devices()
    False
    """
    return BACKEND == "tensorflow" and tf.distribute.get_strategy().num_replicas_in_sync > 1
