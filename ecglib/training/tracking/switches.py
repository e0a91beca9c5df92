"""The environment variables that turn tracking on, and what is done for a run then.

They reach a notebook, papermill and every run of a batch alike, and are no part of an experiment:
results and hashes are the same with and without them.
"""

import importlib.util
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from ecglib.errors import EcgError
from ecglib.runs import Run
from ecglib.training.tracking.lock import lock_folder
from ecglib.training.tracking.mlflow_entry import write_mlflow_entry
from ecglib.training.tracking.tensorboard_log import LogEpochs, write_tensorboard_log

TENSORBOARD = "ECGLIB_TENSORBOARD"  # a folder
MLFLOW = "ECGLIB_MLFLOW"  # a folder, or the address of a server
MAX_SHOWN = 300  # characters of an error


def check_tracking() -> None:
    """Check before a training that what tracks it is installed.

    Raises
    ------
    EcgError
        If ``ECGLIB_MLFLOW`` is set and MLflow is not installed.

    Examples
    --------
    >>> check_tracking()
    """
    if os.environ.get(MLFLOW) and importlib.util.find_spec("mlflow") is None:
        raise EcgError(
            f"{MLFLOW}={os.environ[MLFLOW]!r} tracks runs with MLflow, which is not installed. "
            f'Install it (`pip install "ecg-fusion[mlflow]"`), or unset {MLFLOW}.'
        )


def build_epoch_log(path: Path, n_members: int) -> list[LogEpochs]:
    """Build the callback that logs each epoch for TensorBoard.

    Parameters
    ----------
    path : Path
        The folder of the run, which need not exist.
    n_members : int
        How many models are trained one after the other.

    Returns
    -------
    list of LogEpochs
        Empty unless ``ECGLIB_TENSORBOARD`` names a folder.

    Examples
    --------
    >>> build_epoch_log(Path("runs/explore/time-cnn_seed0"), n_members=1)
    []
    """
    folder = os.environ.get(TENSORBOARD)
    return [LogEpochs(_find_log(folder, path), n_members)] if folder else []


def track_run(run: Run) -> None:
    """Track a finished run as the environment variables say; neither is set by default.

    A run has one entry, however often it is tracked. If one cannot be written, a warning says so.

    Parameters
    ----------
    run : Run
        The run.

    Notes
    -----
    ``ECGLIB_TENSORBOARD`` is a folder for TensorBoard, ``ECGLIB_MLFLOW`` a folder for MLflow or the
    address of its server. `ecglib.train` calls this function. For runs that were made without it::

        for run in ecglib.find_runs("runs/explore"):
            track_run(run)

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> track_run(SimpleNamespace(path=Path("runs/explore/time-cnn_seed0")))
    """
    if folder := os.environ.get(TENSORBOARD):

        def write_log() -> None:
            with lock_folder(Path(folder)):
                write_tensorboard_log(run, _find_log(folder, run.path))

        _try(write_log, run, TENSORBOARD)
    if address := os.environ.get(MLFLOW):

        def write_entry() -> None:
            check_tracking()
            write_mlflow_entry(run, address)

        _try(write_entry, run, MLFLOW)


def _find_log(folder: str, path: Path) -> Path:
    return Path(folder) / path.parent.name / path.name


def _try(write: Callable[[], None], run: Run, variable: str) -> None:
    """Write an entry; a run is finished, so that no error may stop what comes after it."""
    try:
        write()
    except Exception as error:
        warnings.warn(
            f"The run {run.path} is finished, but not tracked in "
            f"{variable}={os.environ[variable]!r}: {str(error)[:MAX_SHOWN]} Call "
            f"`ecglib.training.track_run(run)` to try again.",
            stacklevel=3,
        )
