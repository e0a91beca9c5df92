"""Published scores that may be shown beside ours: same dataset, task, split and rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from ecglib.evaluation.comparison import Comparison


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """Published scores of one task.

    Parameters
    ----------
    dataset, task : str
        Names as in this project.
    metric : str
        The score.
    n_windows : int
        Number of test windows of the complete dataset: a part of it is not comparable.
    scores : mapping of str to str
        Model -> score as printed.
    source : str
        Where it was published.
    note : str
        What is the same, and what differs.

    Examples
    --------
    >>> PUBLISHED[0].scores["xresnet1d101"]
    '0.928(05)'
    """

    dataset: str
    task: str
    metric: str
    n_windows: int
    scores: Mapping[str, str]
    source: str
    note: str


PUBLISHED = (
    Published(
        dataset="ptbxl",
        task="superdiagnostic",
        metric="auroc",
        n_windows=2158,
        scores=MappingProxyType(
            {
                "resnet1d_wang": "0.930(05)",
                "xresnet1d101": "0.928(05)",
                "lstm": "0.927(05)",
                "fcn_wang": "0.925(06)",
                "inception1d": "0.921(06)",
                "lstm_bidir": "0.921(06)",
                "Wavelet+NN": "0.874(07)",
            }
        ),
        source="Strodthoff et al., IEEE J. Biomed. Health Inform. 25 (2021), doi "
        "10.1109/JBHI.2020.3022989, and the table of its repository helme/ecg_ptbxl_benchmarking",
        note="Same task and rule (any statement counts), 100 Hz, folds 1-8, 9 and 10. Published "
        "for version 1.0.1 of PTB-XL; later versions leave out some of its records. In brackets "
        "the uncertainty of the last digits, as printed.",
    ),
)


def find_published(comparison: Comparison) -> Published | None:
    """Find published scores of the same dataset, task and split.

    Parameters
    ----------
    comparison : Comparison
        Our scores.

    Returns
    -------
    Published or None
        None if there are none, or if ours are of a part of the dataset or of a cross-validation.

    Examples
    --------
    >>> from ecglib.evaluation import compare_contestants
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=40, n_seeds=1, n_fusions=0), seed=0)
    >>> ours = compare_contestants(study, dataset="ptbxl-0123", task="superdiagnostic")
    >>> find_published(ours) is None, find_published(dataclasses.replace(ours, n_windows=2158))
    (True, Published(dataset='ptbxl', ...))
    """
    dataset = comparison.dataset.rpartition("-")[0]
    for one in PUBLISHED:
        if (
            (one.dataset, one.task) == (dataset, comparison.task)
            and one.n_windows == comparison.n_windows
            and not comparison.n_folds
        ):
            return one
    return None
