"""Imports Keras without TensorFlow's own log; a module that imports Keras imports this first.

TensorFlow 2.21 writes lines to standard error while it is imported, whatever
``TF_CPP_MIN_LOG_LEVEL`` says, so standard error is closed to it for that time. Set
``TF_CPP_MIN_LOG_LEVEL=0`` to see them.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

ASKED_FOR = "0"


@contextlib.contextmanager
def without_stderr():
    """Send what a library writes to file descriptor 2 to nowhere."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == ASKED_FOR or "keras" in sys.modules:
    import keras
else:
    with without_stderr():
        import keras  # noqa: F401

# A tensor of the backend, or a symbolic one while a model is built; backends share no base class.
Tensor = Any
