"""One trial: what it was, what came of it, and its file."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecglib import paths

COMPLETED, INFEASIBLE, FAILED = "completed", "infeasible", "failed"
INFLUENCE_DIGITS = 6  # significant ones: far more than an estimated variance has


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """The outcome of one suggestion.

    Parameters
    ----------
    number : int
        Its number in the search, from 1.
    status : str
        "completed", "infeasible" (the settings contradict each other, or cost more than the
        budget) or "failed".
    experiment : dict of str to object
        The settings of the experiment, flat.
    model : str
        Readable name of the model.
    val_auroc : float, optional
        Validation macro AUROC, the mean over folds and seeds; None unless it completed.
    parameters : int, optional
        Number of parameters of the model; None unless it completed.
    seconds : float
        Time that it took, in s.
    error : str
        Why it is infeasible, or the traceback of its failure.
    history : list of dict
        One entry per epoch; empty unless it completed.
    influence : list of float
        How much each validation patient changes the score (`ecglib.evaluation.influence`), in the
        order of their names, of one fold after the other; empty unless it completed.
    n_seeds : int
        Number of seeds that the score is the mean of.

    Examples
    --------
    >>> error = "Traceback (most recent call last):\\nOSError: disk full"
    >>> Trial(number=3, status=FAILED, experiment={}, model="time:cnn", error=error).reason
    'OSError: disk full'
    """

    number: int
    status: str
    experiment: dict[str, Any]
    model: str
    val_auroc: float | None = None
    parameters: int | None = None
    seconds: float = 0.0
    error: str = ""
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    influence: list[float] = dataclasses.field(default_factory=list)
    n_seeds: int = 1

    @property
    def reason(self) -> str:
        """The last line of `error`."""
        return self.error.strip().splitlines()[-1] if self.error else ""

    @property
    def is_completed(self) -> bool:
        """Whether it has a score."""
        return self.status == COMPLETED


def average_seeds(trials: Sequence[Trial]) -> Trial:
    """Return one trial with the mean score of trainings that differ by their seed.

    Parameters
    ----------
    trials : sequence of Trial
        The trial and its repetitions; those that did not complete are left out.

    Returns
    -------
    Trial
        The first one, with mean score and influence and the sum of the times.

    Examples
    --------
    >>> trial = Trial(number=1, status=COMPLETED, experiment={}, model="time:cnn", val_auroc=0.9)
    >>> again = dataclasses.replace(trial, val_auroc=0.8)
    >>> mean = average_seeds([trial, again])
    >>> round(mean.val_auroc, 6), mean.n_seeds
    (0.85, 2)
    """
    completed = [trial for trial in trials if trial.val_auroc is not None]
    scores = [trial.val_auroc for trial in completed if trial.val_auroc is not None]
    influence = np.mean([trial.influence for trial in completed], axis=0)
    return dataclasses.replace(
        trials[0],
        val_auroc=float(np.mean(scores)),
        influence=influence.tolist(),
        seconds=round(sum(trial.seconds for trial in trials), 2),
        n_seeds=len(completed),
    )


def round_influence(influence: np.ndarray) -> list[float]:
    """Round influence values for a file.

    Examples
    --------
    >>> round_influence(np.array([1 / 3, 0.0]))
    [0.333333, 0.0]
    """
    return [float(f"{value:.{INFLUENCE_DIGITS}g}") for value in influence.tolist()]


def read_trial(path: Path, settings: Mapping[str, Any]) -> Trial | None:
    """Read the finished trial of an experiment.

    Parameters
    ----------
    path : Path
        The file.
    settings : mapping of str to object
        The settings of the experiment, flat.

    Returns
    -------
    Trial or None
        None if there is no file, a crash cut it short, or it holds another experiment.

    Examples
    --------
    >>> read_trial(Path("trials/001.json"), {}) is None
    True
    """
    try:
        trial = Trial(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return trial if trial.experiment == settings else None


def write_trial(path: Path, trial: Trial) -> None:
    """Write a trial atomically, as JSON.

    Examples
    --------
    >>> import tempfile
    >>> settings = {"task": "superdiagnostic", "branches": {"time": "cnn"}}
    >>> trial = Trial(
    ...     number=1, status=COMPLETED, experiment=settings, model="time:cnn", val_auroc=0.9
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_trial(Path(folder, "001.json"), trial)
    ...     read_trial(Path(folder, "001.json"), settings) == trial
    True
    """
    paths.write_json(path, dataclasses.asdict(trial))
