"""A run's folder: writing, reading, finding.

``runs/<batch>/<run>/`` holds experiment.json, contract.json, model.keras, history.csv,
predictions.npz and metrics.json; a batch adds the executed notebook. Trees (the classical
baseline) leave features.json, what was fitted and to what, in place of model.keras. The folder is
written under a temporary name and renamed, metrics.json last: a folder without it is not a run.
"""

import dataclasses
import json
import os
import platform
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from ecglib import __version__, paths
from ecglib.errors import RunError
from ecglib.experiment import Experiment

LIBRARIES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "pandas")
MODEL, RECIPE = "model.keras", "features.json"
FILES = ("experiment.json", "contract.json", MODEL, "history.csv", "predictions.npz")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Probabilities of one part.

    `y` and `p` have shape (n_windows, n_classes); `rows` (rows of the window table), `records`
    and `patients` have shape (n_windows,).
    """

    rows: np.ndarray
    records: np.ndarray
    patients: np.ndarray
    y: np.ndarray
    p: np.ndarray


class Run:
    """An experiment that was carried out.

    Parameters
    ----------
    path
        the run's folder.

    Raises
    ------
    RunError
        the folder is not a whole run.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        missing = [f for f in (*FILES, "metrics.json") if not (self.path / f).is_file()]
        if (self.path / RECIPE).is_file() and MODEL in missing:
            missing.remove(MODEL)
        if missing:
            raise RunError(
                f"{self.path} is not a whole run: it lacks {missing}. Remove it and run it again."
            )
        values = self._json("experiment.json")
        self.experiment = Experiment(**values["experiment"])
        self.versions = values["versions"]
        self.contract = self._json("contract.json")
        self.metrics = self._json("metrics.json")

    def __repr__(self):
        return f"Run({self.path.name})"

    @property
    def caveats(self) -> list[str]:
        """What has to be said wherever this run's numbers appear."""
        return self.contract["caveats"]

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch (and member)."""
        return pd.read_csv(self.path / "history.csv")

    def predictions(self, part: str) -> Predictions:
        """Labels and probabilities of ``"validation"`` or ``"test"``."""
        with np.load(self.path / "predictions.npz") as arrays:
            names = [f.name for f in dataclasses.fields(Predictions)]
            return Predictions(**{name: arrays[f"{part}_{name}"] for name in names})

    def load_model(self):
        """The model, from the views to the probabilities, not yet calibrated.

        `ecglib.inference.export.one_graph` is the whole: crops, views, this model, calibration.

        Raises
        ------
        RunError
            the run is of the classical baseline, whose trees are not kept.
        """
        if self.experiment.role == "baseline":
            raise RunError(
                f"{self.path.name} has no model to load, export or predict with: fitted trees are "
                f"not kept, as they would be a pickle, which runs whatever is in it. Its "
                f"predictions and scores are in the run. Choose the run of a network, or fit the "
                f"trees again as {RECIPE} says (`ecglib.training.trees`)."
            )
        import keras

        import ecglib.models  # noqa: F401 - registers the layers

        return keras.models.load_model(self.path / MODEL, compile=False)

    def _json(self, name: str) -> dict:
        return json.loads((self.path / name).read_text())


def run_path(experiment: Experiment, runs_dir: str | Path, batch: str) -> Path:
    """Where the run of this experiment lies or will lie."""
    return Path(runs_dir) / batch / experiment.run_name


def exists(path: str | Path) -> bool:
    """Whether a folder holds a finished run."""
    return (Path(path) / "metrics.json").is_file()


def find_runs(batch_dir: str | Path) -> list[Run]:
    """The finished runs of a batch, by name.

    Raises
    ------
    RunError
        there is none.
    """
    runs = [Run(path.parent) for path in sorted(Path(batch_dir).glob("[!.]*/metrics.json"))]
    if not runs:
        raise RunError(f"No finished run in {batch_dir}. Run `ecglib batch` or 03_train first.")
    return runs


def newest_batch(runs_dir: str | Path) -> Path:
    """The batch that a run was added to last.

    Raises
    ------
    RunError
        there is no run at all.
    """
    found = sorted(Path(runs_dir).glob("*/[!.]*/metrics.json"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise RunError(f"No finished run below {runs_dir}. Run `ecglib batch` or 03_train first.")
    return found[-1].parents[1]


def open_run(name: str | Path = "", runs_dir: str | Path = "") -> Run:
    """The run of that name.

    Parameters
    ----------
    name
        a run's folder, its path below `runs_dir`, or a part of its folder's name that fits one run
        only, such as the hash at its end; empty for the newest run.
    runs_dir
        folder of all batches; empty for the usual one (`ecglib.paths`).

    Raises
    ------
    RunError
        no run has that name, or several have.
    """
    runs_dir = paths.runs_dir(runs_dir)
    for path in (Path(name), runs_dir / name) if name else ():
        if exists(path):
            return Run(path)
    if not name:
        metrics = newest_batch(runs_dir).glob("[!.]*/metrics.json")
        return Run(max(metrics, key=lambda path: path.stat().st_mtime).parent)
    found = sorted(path.parent for path in runs_dir.glob("*/[!.]*/metrics.json"))
    fitting = [path for path in found if str(name) in path.name]
    if len(fitting) != 1:
        told = [f"{path.parent.name}/{path.name}" for path in fitting or found]
        raise RunError(
            f"{len(fitting) or 'No'} run{'s' * (len(fitting) > 1)} below {runs_dir} with "
            f"{str(name)!r} in the name; there are {told[:5]}. Give the folder of the one that is "
            f"meant."
        )
    return Run(fitting[0])


def write_run(
    path: Path,
    experiment: Experiment,
    contract: dict,
    model,
    history: pd.DataFrame,
    predictions: dict[str, Predictions],
    metrics: dict,
) -> Run:
    """Write a run's folder; it appears whole or not at all. A run that exists is kept.

    Parameters
    ----------
    path
        where the folder will lie.
    experiment
        what was carried out.
    contract
        what a record must be to be given to the model, and the run's caveats.
    model
        the Keras model, from the views to the probabilities; of trees a dict, their recipe.
    history
        one row an epoch.
    predictions
        those of the parts validation and test.
    metrics
        every score with its interval.
    """
    try:
        with paths.unfinished(path.parent, "run") as folder:
            _write_json(folder / "experiment.json", _experiment(experiment))
            _write_json(folder / "contract.json", contract)
            if isinstance(model, dict):
                _write_json(folder / RECIPE, model)
            else:
                model.save(folder / MODEL)
            history.to_csv(folder / "history.csv", index=False)
            np.savez_compressed(folder / "predictions.npz", **_arrays(predictions))
            _write_json(folder / "metrics.json", metrics)
            if not exists(path):
                shutil.rmtree(path, ignore_errors=True)
                folder.rename(path)
    except OSError as error:
        raise RunError(
            f"Writing the run {path} failed: {error}. Nothing was kept of it; see to the disk "
            f"(space, rights) and run it again."
        ) from error
    return Run(path)


def _experiment(experiment: Experiment) -> dict:
    return {
        "experiment": experiment.to_dict(),
        "hash": experiment.hash,
        "model": experiment.model,
        "versions": {
            "ecg-fusion": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in LIBRARIES},
        },
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def _arrays(predictions: dict[str, Predictions]) -> dict[str, np.ndarray]:
    return {
        f"{part}_{field.name}": getattr(own, field.name)
        for part, own in predictions.items()
        for field in dataclasses.fields(Predictions)
    }


def _write_json(path: Path, values: dict | Sequence) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n")
