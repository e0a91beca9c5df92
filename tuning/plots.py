"""The figure of a search."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ecglib.experiment import Experiment
from ecglib.plots import ROLE_STYLES
from ecglib.plots.figure import add_caveat, annotate_row, close_figure, lay_out_rows
from tuning.trials import COMPLETED, Trial


def plot_trials(trials: list[Trial], caveat: str = "") -> Figure:
    """Draw each completed trial's validation macro AUROC, best first, with its range over epochs.

    The filled marker is the trial's score, the line spans its epochs: a long line is a trial that
    was still learning, or one that was not stable.

    Parameters
    ----------
    trials : list of Trial
        The trials of one search; failed ones are not drawn.
    caveat : str, default ""
        Written above the figure.

    Returns
    -------
    Figure
        The closed figure.

    Examples
    --------
    >>> trial = Trial(
    ...     number=1,
    ...     status=COMPLETED,
    ...     experiment={
    ...         "dataset": "synthetic",
    ...         "fingerprint": "0123",
    ...         "task": "superdiagnostic",
    ...         "branches": {"time": "cnn"},
    ...     },
    ...     model="time:cnn",
    ...     val_auroc=0.9,
    ...     history=[{"val_auroc": 0.7}, {"val_auroc": 0.9}],
    ... )
    >>> fig = plot_trials([trial])
    """
    scores = {
        trial.number: trial.val_auroc
        for trial in trials
        if trial.status == COMPLETED and trial.val_auroc is not None
    }
    completed = sorted(
        (trial for trial in trials if trial.number in scores),
        key=lambda trial: (-scores[trial.number], trial.number),
    )
    fig, ax = plt.subplots(figsize=(8, 1.3 + 0.32 * len(completed)), layout="constrained")
    labelled: set[str] = set()
    for row, trial in enumerate(completed):
        role = Experiment.from_flat(trial.experiment).role
        color, marker = ROLE_STYLES[role]
        epoch_scores = [epoch["val_auroc"] for epoch in trial.history]
        ax.hlines(row, min(epoch_scores), max(epoch_scores), color=color, lw=2, alpha=0.4)
        ax.plot(
            scores[trial.number],
            row,
            marker,
            color=color,
            ms=6,
            ls="none",
            label=role if role not in labelled else None,
        )
        annotate_row(ax, row, f"{scores[trial.number]:.3f}")
        labelled.add(role)
    ax.set_yticks(range(len(completed)), [f"{trial.model}  #{trial.number}" for trial in completed])
    lay_out_rows(ax, len(completed))
    ax.set_xlabel("validation macro AUROC (line: its epochs)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    add_caveat(fig, caveat)
    return close_figure(fig)
