"""The winner's files: parameters for papermill, and a batch that compares it fairly."""

import hashlib
from pathlib import Path

import yaml

from ecglib import paths
from ecglib.batch.notebooks import read_defaults
from ecglib.datasets.store import Dataset
from ecglib.experiment import Experiment
from ecglib.experiment.branches import get_representation
from tuning.trials import COMPLETED, Trial

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOK, COMPARE = NOTEBOOKS / "03_train.ipynb", NOTEBOOKS / "04_compare.ipynb"
SEEDS = 2


def best(trials: list[Trial], role: str = "") -> Trial | None:
    """The completed trial with the highest validation score, if `role` is given of that role."""
    fitting = [t for t in trials if t.status == COMPLETED and role in ("", _role(t.experiment))]
    return max(fitting, key=lambda t: t.val_auroc, default=None)


def write(folder: Path, dataset: Dataset, trials: list[Trial], caveats: list[str]) -> tuple:
    """Write ``winner.yaml`` and ``tuned-<hash>.yaml``.

    A batch's name is its file's, and runs of one name are compared with each other; the hash of
    the content keeps the runs of another winner apart.

    Returns
    -------
    The path of the parameters and that of the batch.
    """
    won = best(trials)
    head = [f"# Trial {won.number} of {folder.name}: {won.model}"]
    head += [f"# validation macro AUROC {won.val_auroc:.4f}, for which it was chosen"]
    head += [f"# {caveat}" for caveat in caveats]
    parameters = folder / "winner.yaml"
    values = {"dataset": str(dataset.path.resolve()), **_final(won.experiment)}
    paths.write_text(parameters, _yaml(head, values))

    values = batch_values(dataset, trials)
    text = _yaml([*head, "# with the models that it has to beat"], values)
    digest = hashlib.blake2b(yaml.safe_dump(values).encode(), digest_size=5).hexdigest()
    batch = folder / f"tuned-{digest}.yaml"
    paths.write_text(batch, text)
    for other in set(folder.glob("tuned-*.yaml")) - {batch}:
        other.unlink()
    return parameters, batch


def batch_values(dataset: Dataset, trials: list[Trial]) -> dict:
    """A batch that compares the best fusion found with what it has to beat.

    These are the best single branch that the search found with settings of its own, the fusion's
    own branches under the fusion's settings, and of whichever of them is best on the validation
    part an ensemble of as many models as the fusion has branches, and one model as large as it.
    """
    fusion, single = best(trials, "fusion"), best(trials, "single")
    models = [t.experiment for t in (fusion, single) if t]
    if fusion:
        models += [
            fusion.experiment | {"branches": {get_representation(name): encoder}, "fusion": "none"}
            for name, encoder in fusion.experiment["branches"].items()
        ]
    # A comparison tells models apart by name; of two settings of a branch the search's own stays.
    named = {}
    for model in models:
        named.setdefault(Experiment.from_flat(model).model_name, _final(model))
    finals = list(named.values())
    common = {
        name: value
        for name, value in finals[0].items()
        if name not in ("branches", "fusion", "seed") and all(f[name] == value for f in finals)
    }
    own = [{k: v for k, v in f.items() if k not in common and k != "seed"} for f in finals]
    seed = finals[0]["seed"]
    return {
        "notebook": str(NOTEBOOK),
        "compare": str(COMPARE),
        "dataset": str(dataset.path.resolve()),
        "parameters": common,
        "grid": {"model": own, "seed": list(range(seed, seed + SEEDS))},
        "ensembles_of_best_branch": [len(fusion.experiment["branches"])] if fusion else [],
        "widened_best_branch": fusion is not None,
    }


def _final(experiment: dict) -> dict:
    """The parameters of a trial for ``03_train``, with time to train."""
    epochs = max(experiment["epochs"], read_defaults(NOTEBOOK)["epochs"])
    own = experiment | {"epochs": epochs}
    return {name: value for name, value in own.items() if name not in ("dataset", "fingerprint")}


def _role(experiment: dict) -> str:
    return Experiment.from_flat(experiment).role


def _yaml(head: list[str], values: dict) -> str:
    return "\n".join(head) + "\n" + yaml.safe_dump(values, sort_keys=False)
