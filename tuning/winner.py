"""The winner's files: parameters for papermill, and a batch file that compares it fairly."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ecglib import paths
from ecglib.batch.notebooks import read_defaults
from ecglib.datasets.store import Dataset
from ecglib.errors import RunError
from ecglib.evaluation.rules import MIN_SEEDS
from ecglib.experiment import Experiment
from ecglib.experiment.branches import get_representation
from ecglib.experiment.config import list_fields
from ecglib.experiment.registry import NO_FUSION
from tuning.trials import COMPLETED, Trial

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOK = NOTEBOOKS / "03_train.ipynb"


class Winner(NamedTuple):
    """The best trial of a search, and the files that were written for it.

    Parameters
    ----------
    trial : Trial
        The trial.
    parameters : Path
        Its parameters, for ``papermill -f``.
    batch : Path
        The batch file that compares it, for ``ecglib batch``.

    Examples
    --------
    >>> winner = Winner(
    ...     trial=Trial(number=3, status=COMPLETED, experiment={}, model="time:cnn", val_auroc=0.9),
    ...     parameters=Path("searches/mine/winner.yaml"),
    ...     batch=Path("searches/mine/tuned-0123456789.yaml"),
    ... )
    >>> winner.trial.number, winner.parameters.name
    (3, 'winner.yaml')
    """

    trial: Trial
    parameters: Path
    batch: Path


def find_best(trials: Sequence[Trial], role: str = "") -> Trial | None:
    """Find the completed trial with the highest validation score, a finalist if there is one.

    A score of several seeds is worth more than a higher one of a single seed, of which the best of
    many is partly luck.

    Parameters
    ----------
    trials : sequence of Trial
        The trials of a search.
    role : str, default ""
        Only trials whose experiment has this role; empty for all.

    Returns
    -------
    Trial or None
        The first of the best; None if no trial fits.

    Examples
    --------
    >>> failed = Trial(number=1, status="failed", experiment={}, model="-")
    >>> find_best([failed]) is None
    True
    """
    candidates = [
        trial
        for trial in trials
        if trial.status == COMPLETED
        and (not role or Experiment.from_flat(trial.experiment).role == role)
    ]
    return max(candidates, key=_get_score, default=None)


def write_winner(
    folder: Path, dataset: Dataset, trials: Sequence[Trial], caveats: Sequence[str]
) -> Winner:
    """Write ``winner.yaml`` and ``tuned-<hash>.yaml``.

    A batch is named after its file, and the runs of one batch are compared with each other; the
    hash of the contents keeps the runs of different winners apart.

    Parameters
    ----------
    folder : Path
        Folder of the search.
    dataset : Dataset
        The prepared store.
    trials : sequence of Trial
        All trials of the search.
    caveats : sequence of str
        Caveats of the dataset, written into the files.

    Returns
    -------
    Winner
        The best trial and the two files.

    Raises
    ------
    RunError
        If no trial completed.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> settings = {
    ...     "dataset": "synthetic",
    ...     "fingerprint": "0123",
    ...     "task": "superdiagnostic",
    ...     "branches": {"time": "cnn", "frequency": "mlp"},
    ...     "fusion": "late_average",
    ...     "epochs": 4,
    ...     "seed": 0,
    ... }
    >>> trial = Trial(
    ...     number=1,
    ...     status=COMPLETED,
    ...     experiment=settings,
    ...     model="late_average(time:cnn + frequency:mlp)",
    ...     val_auroc=0.9,
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     winner = write_winner(Path(folder, "search"), dataset, [trial], dataset.caveats)
    ...     lines = winner.parameters.read_text().splitlines()
    >>> print("\\n".join(lines[:3]))
    # Trial 1 of search: late_average(time:cnn + frequency:mlp)
    # validation macro AUROC 0.9000, for which it was chosen
    # synthetic data
    """
    best = find_best(trials)
    if best is None:
        raise RunError(f"No trial of {folder} completed; run the search again.")
    comments = [
        f"Trial {best.number} of {folder.name}: {best.model}",
        f"validation macro AUROC {best.val_auroc:.4f}, for which it was chosen",
        *caveats,
    ]
    parameters = folder / "winner.yaml"
    values = {"dataset": str(dataset.path.resolve()), **_final_settings(best.experiment)}
    paths.write_text(parameters, _format_yaml(comments, values))

    values = create_batch(dataset, trials)
    digest = hashlib.blake2b(yaml.safe_dump(values).encode(), digest_size=5).hexdigest()
    batch = folder / f"tuned-{digest}.yaml"
    comments.append("with the models that it has to beat")
    paths.write_text(batch, _format_yaml(comments, values))
    for other in set(folder.glob("tuned-*.yaml")) - {batch}:
        other.unlink()
    return Winner(trial=best, parameters=parameters, batch=batch)


def create_batch(dataset: Dataset, trials: Sequence[Trial]) -> dict[str, Any]:
    """Create the batch that compares the best fusion with what it has to beat.

    It has to beat the best single branch of the search, with the settings found for it; its
    branches alone, with the settings of the fusion; and the controls of whichever of these is best
    on the validation split: an ensemble of as many models as the fusion has branches, and one
    model with as many parameters.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    trials : sequence of Trial
        The trials of a search, at least one of them completed.

    Returns
    -------
    dict of str to object
        The contents of the batch file (`ecglib.batch.file`).

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> settings = {
    ...     "dataset": "synthetic",
    ...     "fingerprint": "0123",
    ...     "task": "superdiagnostic",
    ...     "branches": {"time": "cnn", "frequency": "mlp"},
    ...     "fusion": "late_average",
    ...     "epochs": 4,
    ...     "seed": 0,
    ... }
    >>> trial = Trial(
    ...     number=1,
    ...     status=COMPLETED,
    ...     experiment=settings,
    ...     model="late_average(time:cnn + frequency:mlp)",
    ...     val_auroc=0.9,
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     batch = create_batch(dataset, [trial])
    >>> [(entry["branches"], entry["fusion"]) for entry in batch["grid"]["model"]][1:]
    [({'time': 'cnn'}, 'none'), ({'frequency': 'mlp'}, 'none')]
    >>> batch["grid"]["seed"], batch["ensembles"], batch["same_size_branch"]
    ([0, 1, 2, 3, 4], [2], True)
    """
    fusion, single = find_best(trials, "fusion"), find_best(trials, "single")
    experiments = [trial.experiment for trial in (fusion, single) if trial]
    if fusion:
        for branch, encoder in fusion.experiment["branches"].items():
            alone = {"branches": {get_representation(branch): encoder}, "fusion": NO_FUSION}
            experiments.append(_leave_out_fusion_options(fusion.experiment) | alone)
    # A comparison tells models apart by name. Of two settings of one branch, those that the
    # search found for it come first and stay.
    models: dict[str, dict[str, Any]] = {}
    for experiment in experiments:
        name = Experiment.from_flat(experiment).model_name
        models.setdefault(name, _final_settings(experiment))
    first, *others = models.values()
    common = {
        name: value
        for name, value in first.items()
        if name not in ("branches", "fusion", "seed")
        and all(other[name] == value for other in others)
    }
    entries = [
        {name: value for name, value in settings.items() if name not in common and name != "seed"}
        for settings in models.values()
    ]
    seed = first["seed"]
    return {
        "notebook": str(NOTEBOOK),
        "dataset": str(dataset.path.resolve()),
        "parameters": common,
        "grid": {"model": entries, "seed": list(range(seed, seed + MIN_SEEDS))},
        "ensembles": [len(fusion.experiment["branches"])] if fusion else [],
        "same_size_branch": fusion is not None,
    }


def _get_score(trial: Trial) -> tuple[int, float]:
    return trial.n_seeds, float("-inf") if trial.val_auroc is None else trial.val_auroc


def _leave_out_fusion_options(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the defaults of those that only fusions have."""
    fields = list_fields()
    return {
        name: fields[name].default if fields[name].metadata["setting"].fusion_families else value
        for name, value in experiment.items()
    }


def _final_settings(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a trial for ``03_train``, with at least its number of epochs."""
    epochs = max(experiment["epochs"], read_defaults(NOTEBOOK)["epochs"])
    settings = {**experiment, "epochs": epochs}
    return {name: settings[name] for name in settings if name not in ("dataset", "fingerprint")}


def _format_yaml(comments: Sequence[str], values: Mapping[str, Any]) -> str:
    lines = [f"# {comment}" for comment in comments]
    return "\n".join(lines) + "\n" + yaml.safe_dump(dict(values), sort_keys=False)
