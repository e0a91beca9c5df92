"""The figure of a search."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ecglib.experiment import Experiment
from ecglib.plots import RED, ROLES
from tuning.trials import COMPLETED, Trial


def scores(trials: list[Trial], caveat: str = "") -> Figure:
    """Draw each completed trial's validation macro AUROC, best first, and how it came about.

    The filled marker is the trial's score, the line spans its epochs; a long line is a trial
    that was still learning, or one that was not stable.

    Parameters
    ----------
    trials
        of one search.
    caveat
        what has to be said wherever the numbers appear; stands above the figure.
    """
    done = [t for t in trials if t.status == COMPLETED]
    done.sort(key=lambda trial: (-trial.val_auroc, trial.number))
    fig, ax = plt.subplots(figsize=(8, 1.3 + 0.32 * len(done)), layout="constrained")
    named = set()
    for at, trial in enumerate(done):
        role = Experiment.from_flat(trial.experiment).role
        color, marker = ROLES[role]
        epochs = [epoch["val_auroc"] for epoch in trial.history]
        ax.hlines(at, min(epochs), max(epochs), color=color, lw=2, alpha=0.4)
        label = role if role not in named else None
        ax.plot(trial.val_auroc, at, marker, color=color, ms=6, ls="none", label=label)
        ax.annotate(
            f"{trial.val_auroc:.3f}", (1, at), (6, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="center", size=8,
        )  # fmt: skip
        named.add(role)
    ax.set_yticks(range(len(done)), [f"{t.model}  #{t.number}" for t in done])
    ax.set_ylim(len(done) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_xlabel("validation macro AUROC (line: its epochs)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    if caveat:
        fig.suptitle(caveat, x=0.99, ha="right", size=10, color=RED, weight="bold")
    plt.close(fig)
    return fig
