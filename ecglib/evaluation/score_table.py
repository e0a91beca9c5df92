"""The scores of every model of a comparison, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.scoreboard import Scoreboard


def build_score_table(
    models: Mapping[str, Sequence[Contestant]], scoreboards: Sequence[Scoreboard]
) -> pd.DataFrame:
    """Build a table of the scores on the test split, one row for each model.

    Parameters
    ----------
    models : mapping of str to sequence of Contestant
        Name of each model -> its seeds.
    scoreboards : sequence of Scoreboard
        One for each metric.

    Returns
    -------
    DataFrame
        Columns: ``model``, ``role``, ``branches``, ``ensemble_size``, ``seeds``, ``parameters``;
        for each metric the mean over seeds of its macro value (``auroc``), its 95 % interval
        (``auroc_low``, ``auroc_high``, nan if it cannot be measured), the standard deviation over
        seeds (``auroc_std``, nan for one seed), and for each class the mean over seeds and its
        interval (``auroc:NORM``, ``auroc:NORM_low``, ``auroc:NORM_high``); then ``undefined``,
        ``never_predicted`` (by any of the seeds) and ``caveats``.

    Examples
    --------
    >>> from ecglib.evaluation.contestants import group_by_model
    >>> from ecglib.evaluation.scoreboard import measure_models
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> models = group_by_model(simulate_study(StudySettings(n_patients=60), seed=0))
    >>> table = build_score_table(models, [measure_models(models, "auroc")])
    >>> table[["model", "seeds", "parameters"]].values[0].tolist()
    ['time:cnn', 5, 1000]
    """
    columns = pd.DataFrame([_describe(seeds) for seeds in models.values()])
    for scoreboard in scoreboards:
        classes = next(iter(models.values()))[0].predictions.classes
        columns = pd.concat([columns, _list_scores(scoreboard, classes)], axis=1)
    problems = pd.DataFrame([_list_problems(seeds) for seeds in models.values()])
    return pd.concat([columns, problems], axis=1)


def _describe(seeds: Sequence[Contestant]) -> dict[str, Any]:
    first = seeds[0]
    return {
        "model": first.name,
        "role": first.role,
        "branches": " + ".join(first.branches),
        "ensemble_size": first.ensemble_size,
        "seeds": len(seeds),
        "parameters": round(np.mean([contestant.parameters for contestant in seeds])),
    }


def _list_scores(scoreboard: Scoreboard, classes: Sequence[str]) -> pd.DataFrame:
    metric = scoreboard.metric
    macro = [scoreboard.score(name) for name in scoreboard.measurements]
    columns: dict[str, list[float]] = {
        metric: [score.estimate for score in macro],
        f"{metric}_low": [score.low for score in macro],
        f"{metric}_high": [score.high for score in macro],
        f"{metric}_std": [score.seed_std for score in macro],
    }
    for k, name in enumerate(classes):
        if scoreboard.windows.scored[k]:
            of_class = scoreboard.by_class[k]
            scores = [of_class.score(model) for model in scoreboard.measurements]
            values = [(score.estimate, score.low, score.high) for score in scores]
        else:
            values = [(float("nan"),) * 3] * len(macro)
        for suffix, column in zip(("", "_low", "_high"), zip(*values, strict=True), strict=True):
            columns[f"{metric}:{name}{suffix}"] = list(column)
    return pd.DataFrame(columns)


def _list_problems(seeds: Sequence[Contestant]) -> dict[str, str]:
    classes, y = seeds[0].predictions.classes, np.asarray(seeds[0].predictions.y) == 1
    never = ~np.stack([one.decide().any(axis=0) for one in seeds]).all(axis=0)
    undefined = ~y.any(axis=0) | y.all(axis=0)
    caveats = dict.fromkeys(caveat for contestant in seeds for caveat in contestant.caveats)
    return {
        "undefined": ", ".join(classes[k] for k in np.flatnonzero(undefined)),
        "never_predicted": ", ".join(classes[k] for k in np.flatnonzero(never)),
        "caveats": "; ".join(caveats),
    }
