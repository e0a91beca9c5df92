"""How far a run is, from what it and its batch have written; nothing is asked of its process."""

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecglib.batch.jobs import WORK_FOLDER, Job
from ecglib.paths import write_json

UNREADABLE = (
    OSError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    NotImplementedError,  # a compression that is unknown
    RecursionError,
    zipfile.BadZipFile,
    zlib.error,
)
REQUEST = "request.json"  # in the work folder: the runs that the last call of a batch asks for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the training of a run is.

    Parameters
    ----------
    model : int
        Number of the model that is trained, from 1; more than 1 in an ensemble.
    epoch : int
        Number of its finished epochs.
    scores : dict of str to float
        The losses and validation scores of the last finished epoch.
    branch : str
        The branch that is trained alone before the fusion, if one is.

    Examples
    --------
    >>> Progress(model=1, epoch=3, scores={"val_auroc": 0.9}).epoch
    3
    """

    model: int
    epoch: int
    scores: dict[str, float]
    branch: str = ""


def read_progress(path: Path) -> Progress | None:
    """Read how far a training is, from its checkpoints.

    Parameters
    ----------
    path : Path
        Folder of the run, which need not exist.

    Returns
    -------
    Progress or None
        None before the first epoch has finished, and for trees, which have no epochs.

    Examples
    --------
    >>> read_progress(Path("runs/none/time-cnn_seed0_01")) is None
    True
    """
    folder = path.with_name(f".{path.name}.checkpoint")
    try:
        files = sorted(folder.rglob("checkpoint.npz"), key=lambda file: file.stat().st_mtime)
        if not files:
            return None
        with np.load(files[-1], allow_pickle=False) as checkpoint:  # reads the state alone
            rows = json.loads(str(checkpoint["state"]))["rows"]
        scores = {str(name): float(value) for name, value in rows[-1].items()}
    except UNREADABLE:
        return None  # it was just removed, because the run is finished; or it is damaged
    # seed0/checkpoint.npz is that of a model, seed0-time/seed0/checkpoint.npz of its branch.
    names = [file.relative_to(folder).parts[0].partition("-") for file in files]
    return Progress(
        model=len({seed for seed, _, _ in names}),
        epoch=len(rows),
        scores=scores,
        branch=names[-1][2],
    )


def record_request(folder: Path, jobs: Iterable[Job]) -> None:
    """Record the runs that a batch asks for, so that `ecglib status` knows what is missing.

    Parameters
    ----------
    folder : Path
        Folder of the batch.
    jobs : iterable of Job
        All of them, those that exist as well; they replace what was recorded.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.experiment import Experiment
    >>> settings = {"dataset": "d", "fingerprint": "f", "task": "t", "branches": {"time": "cnn"}}
    >>> experiment = Experiment.from_flat(settings)
    >>> path = Path("runs/fusion") / experiment.run_name
    >>> job = Job(experiment=experiment, parameters={}, notebook_parameters={}, path=path)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record_request(Path(folder), [job])
    ...     read_request(Path(folder))[path.name]["epochs"]
    20
    """
    requested = {job.path.name: job.experiment.to_flat() for job in jobs}
    if requested != read_request(folder):
        write_json(folder / WORK_FOLDER / REQUEST, requested)


def read_request(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Read the runs that a batch asks for.

    Parameters
    ----------
    folder : Path
        Folder of the batch.

    Returns
    -------
    dict of str to mapping
        Name of each run -> its settings, flat; empty if nothing was recorded.

    Examples
    --------
    >>> read_request(Path("runs/none"))
    {}
    """
    try:
        requested = json.loads((folder / WORK_FOLDER / REQUEST).read_bytes())
        return {str(name): dict(settings) for name, settings in requested.items()}
    except (OSError, TypeError, ValueError, AttributeError, RecursionError):
        return {}
