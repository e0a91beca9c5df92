"""Import Keras without TensorFlow's log; a module that imports Keras imports this one first.

TensorFlow warns when several models are trained or predict in one process, each of which has to
be traced once ("retracing"). That is what this package does, so the warning is not shown.

TensorFlow 2.21 writes to standard error while it is imported, whatever ``TF_CPP_MIN_LOG_LEVEL``
says, so standard error is redirected during the import. Set ``TF_CPP_MIN_LOG_LEVEL=0`` to see the
log.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

JAX_THREADS_VARIABLE = "NPROC"  # the number of threads of an operation on the CPU
SHOW_ALL = "0"  # the log level at which TensorFlow shows everything


@contextlib.contextmanager
def suppress_stderr() -> Iterator[None]:
    """Discard what is written to file descriptor 2, also by C++ code, within the block.

    Examples
    --------
    >>> with suppress_stderr():
    ...     n_written = os.write(2, b"not shown")
    >>> n_written
    9
    """
    stderr = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def is_shown(record: logging.LogRecord) -> bool:
    """Tell whether a message of TensorFlow's logger is shown.

    Examples
    --------
    >>> message = "5 out of the last 5 calls to f triggered tf.function retracing."
    >>> is_shown(logging.makeLogRecord({"msg": message}))
    False
    """
    return "tf.function retracing" not in record.getMessage()


if os.environ.get("KERAS_BACKEND") == "jax":  # JAX reads both when it is imported
    os.environ.setdefault(JAX_THREADS_VARIABLE, os.environ.get("ECGLIB_THREADS", "1"))
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"--xla_gpu_deterministic_ops=true {flags}".strip()

if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != SHOW_ALL:
    logging.getLogger("tensorflow").addFilter(is_shown)

if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == SHOW_ALL or "keras" in sys.modules:
    import keras
else:
    with suppress_stderr():
        import keras  # noqa: F401

# A tensor of the backend, or a symbolic one while a model is built; backends share no base class.
Tensor = Any
