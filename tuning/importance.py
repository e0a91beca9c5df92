"""Which hyperparameters matter for the score of a trial, and how surely that is known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import RepeatedKFold

from ecglib.errors import RunError
from tuning.trials import Trial

MIN_TRIALS = 20
N_FOLDS, N_REPEATS, N_PERMUTATIONS = 5, 4, 5
N_TREES = 100
LEVEL = 0.95
COLUMNS = ("hyperparameter", "importance", "low", "high")


def tabulate_hyperparameters(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return what differed between the completed trials, one row for each.

    Parameters
    ----------
    trials : sequence of Trial
        All trials of a search.

    Returns
    -------
    DataFrame
        Settings that have several values; in place of branches, one column for each representation
        with its encoder, or "-". Augmentations are joined by "+".

    Examples
    --------
    >>> trials = [
    ...     Trial(
    ...         number=n,
    ...         status="completed",
    ...         experiment={"branches": {"time": encoder}, "width": 8},
    ...         model="-",
    ...         val_auroc=0.9,
    ...     )
    ...     for n, encoder in enumerate(["cnn", "s4d"], 1)
    ... ]
    >>> tabulate_hyperparameters(trials).to_dict("list")
    {'time encoder': ['cnn', 's4d']}
    """
    rows = []
    for trial in trials:
        if trial.val_auroc is None:
            continue
        settings = dict(trial.experiment)
        row = {f"{name} encoder": one for name, one in settings.pop("branches", {}).items()}
        if "augment" in settings:
            row["augment"] = "+".join(settings.pop("augment")) or "none"
        row |= {name: str(v) if isinstance(v, list | dict) else v for name, v in settings.items()}
        rows.append(row)
    table = pd.DataFrame(rows)
    encoders = [str(name) for name in table if str(name).endswith(" encoder")]
    table[encoders] = table[encoders].fillna("-")
    return table[[str(name) for name in table if table[name].nunique() > 1]]


def measure_importance(trials: Sequence[Trial], seed: int = 0) -> pd.DataFrame:
    """Measure how much of the differences between trials each hyperparameter explains.

    Parameters
    ----------
    trials : sequence of Trial
        All trials of a search.
    seed : int, default 0
        Seed of forests, folds and permutations.

    Returns
    -------
    DataFrame
        hyperparameter, importance (by how much R2 on trials that were left out falls when its
        values are permuted), low and high (the central 95 % over forests that were trained on
        different trials); the most important first.

    Raises
    ------
    RunError
        If fewer than 20 trials completed.

    Notes
    -----
    Permutation importance of a random forest (Breiman, Machine Learning 45, 2001) in a five-fold
    cross-validation that is repeated four times. The interval shows how much the importance changes
    with the trials; it is no confidence interval, as the forests share trials. A hyperparameter
    whose interval contains 0 was not shown to matter, in the range that was searched.

    Examples
    --------
    >>> measure_importance([])
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: 0 trials completed; at least 20 are needed to tell which ...
    """
    completed = [trial for trial in trials if trial.val_auroc is not None]
    if len(completed) < MIN_TRIALS:
        raise RunError(
            f"{len(completed)} trials completed; at least {MIN_TRIALS} are needed to tell which "
            f"hyperparameters matter. Run the search with more trials."
        )
    table = tabulate_hyperparameters(completed)
    x = np.column_stack([_to_numbers(table[name]) for name in table])
    y = np.array([trial.val_auroc for trial in completed], dtype=float)
    folds = RepeatedKFold(n_splits=N_FOLDS, n_repeats=N_REPEATS, random_state=seed)
    found = []
    for fold, (train, test) in enumerate(folds.split(x)):
        forest = RandomForestRegressor(N_TREES, random_state=seed + fold).fit(x[train], y[train])
        result = permutation_importance(
            forest,
            x[test],
            y[test],
            scoring="neg_mean_squared_error",
            n_repeats=N_PERMUTATIONS,
            random_state=seed + fold,
        )
        found.append(result.importances_mean / y.var())
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(found, [tail, 1 - tail], axis=0)
    columns = (list(table), np.mean(found, axis=0), low, high)
    rows = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
    return rows.sort_values("importance", ascending=False, ignore_index=True)


def _to_numbers(values: pd.Series) -> np.ndarray:
    """Return numbers as they are, and names as their rank by frequency."""
    if pd.api.types.is_numeric_dtype(values):
        return values.astype(float).to_numpy()
    order = {name: rank for rank, name in enumerate(values.value_counts().index)}
    return values.map(order).to_numpy(dtype=float)
