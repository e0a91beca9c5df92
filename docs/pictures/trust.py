"""Draw the pictures of the page "Which verdict can I trust": ``python docs/pictures/trust.py``.

All but one are simulated, with `ecglib.evaluation.simulation`, which ``make verdict-check`` uses
too. The picture of the patients needs the prepared store of ``mitdb``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student_t

import ecglib
from ecglib.evaluation.contestants import Contestant
from ecglib.evaluation.effective_patients import compute_effective_patients
from ecglib.evaluation.influence import Windows, measure
from ecglib.evaluation.metrics import compute_ranking_scores
from ecglib.evaluation.simulation import BRANCHES, StudySettings, simulate_study
from ecglib.plots.figure import BLUE, GREEN, GREY, ORANGE, PURPLE, hide_frame
from ecglib.plots.svg import convert_to_svg

FOLDER = Path(__file__).parent
N_STUDIES = 500
N_SHOWN = 50
MARGIN = 0.01


class Row(NamedTuple):
    """One row of the picture of the words: an interval of the gain, in margins."""

    word: str
    low: float
    high: float
    color: str


WORDS = (
    Row("adds", 0.5, 2.4, GREEN),
    Row("adds less than the margin", 0.15, 0.85, BLUE),
    Row("no gain of the margin", -0.7, 0.7, GREY),
    Row("worse", -1.9, -0.4, ORANGE),
    Row("cannot tell", -0.8, 1.9, PURPLE),
)


def save(fig: Figure, name: str, title: str, description: str) -> None:
    """Write a figure to this folder, with alternative text."""
    svg = convert_to_svg(fig, name, title=title, description=description)
    (FOLDER / f"{name}.svg").write_text(svg.replace("currentColor", "#000000") + "\n")
    plt.close(fig)


def score(contestant: Contestant) -> float:
    """Return the macro AUROC of a contestant."""
    predictions = contestant.predictions
    return float(np.nanmean(compute_ranking_scores(predictions.y, predictions.p).auroc))


def select_scores(study: Sequence[Contestant], role: str) -> np.ndarray:
    """Return the scores of the models with a role, as an array (n_models, n_seeds)."""
    chosen = [one for one in study if one.role == role]
    n_seeds = 1 + max(one.seed for one in chosen)
    return np.array([score(one) for one in chosen]).reshape(-1, n_seeds)


def draw_words() -> None:
    """Draw which interval of a gain is called what."""
    fig, ax = plt.subplots(figsize=(7.2, 2.6))
    for y, row in enumerate(reversed(WORDS)):
        ax.plot([row.low, row.high], [y, y], color=row.color, lw=4, solid_capstyle="butt")
        ax.plot((row.low + row.high) / 2, y, "o", color=row.color, ms=7)
    ax.axvline(0, color="black", lw=1)
    ax.axvline(1, color="black", lw=1, ls="--")
    ax.set_yticks(range(len(WORDS)), [row.word for row in reversed(WORDS)])
    ax.set_xticks([0, 1], ["no gain", "the margin"])
    ax.set_xlabel("gain over the rival that is hardest to beat, with its interval")
    ax.set_ylim(-0.6, len(WORDS) - 0.4)
    hide_frame(ax)
    fig.tight_layout()
    described = "; ".join(f"{row.word}: from {row.low:g} to {row.high:g} margins" for row in WORDS)
    save(fig, "trust-words", "Which interval gets which word", f"One interval a word. {described}.")


def draw_seeds() -> None:
    """Draw how good useless fusions look by one seed, and by the best of many."""
    one, best = [], []
    for seed in range(N_STUDIES):
        study = simulate_study(StudySettings(seed_std=0.01, has_controls=False), seed)
        branches, fusions = select_scores(study, "single"), select_scores(study, "fusion")
        one.append(fusions[0, 0] - branches[0, 0])
        best.append(fusions.max() - branches[0, 0])
    panels = {
        "one useless fusion, one seed of each": np.array(one),
        "the best of six useless fusions and five seeds": np.array(best),
    }
    fig, axes = plt.subplots(2, 1, figsize=(7.2, 4.2), sharex=True)
    bins = np.linspace(-0.06, 0.08, 29)  # 0 and the margin are edges
    for ax, (title, gains) in zip(axes, panels.items(), strict=True):
        draw_histogram(ax, gains, bins, title)
    axes[-1].set_xlabel("gain in AUROC that would be reported; the true gain is 0")
    fig.tight_layout()
    fractions = [f"{title}: {np.mean(gains > MARGIN):.0%}" for title, gains in panels.items()]
    print(f"gains above {MARGIN}:", fractions, "any gain:", np.mean(panels[title] > 0))
    save(
        fig,
        "trust-seeds",
        "How large the gain of a useless fusion looks",
        f"Histograms over {N_STUDIES} simulated studies. Gains above {MARGIN}: "
        + "; ".join(fractions),
    )


def draw_histogram(ax: Axes, gains: np.ndarray, bins: np.ndarray, title: str) -> None:
    """Draw a histogram of gains, those above the margin in another color."""
    for chosen, color in ((gains <= MARGIN, GREY), (gains > MARGIN, ORANGE)):
        ax.hist(gains[chosen], bins, color=color)
    ax.axvline(0, color="black", lw=1)
    ax.set_title(title, loc="left", fontsize=10)
    ax.set_yticks([])
    ax.text(
        0.99,
        0.8,
        f"{np.mean(gains > MARGIN):.0%} gain more than {MARGIN}",
        color=ORANGE,
        ha="right",
        transform=ax.transAxes,
    )
    hide_frame(ax)


def draw_averaging() -> None:
    """Draw what averaging the trainings of one model gains by itself."""
    sizes = (2, 3, 5)
    gains = np.zeros((N_STUDIES // 5, len(sizes)))
    for seed in range(len(gains)):
        settings = StudySettings(n_patients=2000, n_fusions=0, has_controls=False)
        seeds = [one for one in simulate_study(settings, seed) if one.name == BRANCHES[0]]
        p = np.stack([one.predictions.p for one in seeds])
        y = seeds[0].predictions.y
        for i, size in enumerate(sizes):
            averaged = compute_ranking_scores(y, p[:size].mean(axis=0)).auroc
            gains[seed, i] = np.nanmean(averaged) - np.mean([score(one) for one in seeds[:size]])
    fig, ax = plt.subplots(figsize=(7.2, 2.2))
    means = gains.mean(axis=0)
    ax.barh(range(len(sizes)), means, color=BLUE, height=0.6)
    for row, mean in enumerate(means):
        ax.text(mean, row, f" {mean:+.3f}", va="center")
    ax.axvline(MARGIN, color="black", lw=1, ls="--")
    ax.text(MARGIN, -0.75, " a margin of 0.01", va="center")
    ax.set_yticks(range(len(sizes)), [f"average of {size}" for size in sizes])
    ax.set_ylim(len(sizes) - 0.5, -1.0)
    ax.set_xlim(0, 0.0135)
    ax.set_xlabel("gain in AUROC over one training of the same branch")
    hide_frame(ax)
    fig.tight_layout()
    print("averaging", dict(zip(sizes, means.round(4).tolist(), strict=True)))
    save(
        fig,
        "trust-averaging",
        "What averaging several trainings of one branch gains",
        "; ".join(f"{n}: {mean:+.3f}" for n, mean in zip(sizes, means, strict=True)),
    )


def draw_intervals() -> None:
    """Draw intervals of a difference that is zero, by window and by patient."""
    settings = StudySettings(
        n_patients=44, windows="unequal", seed_std=0.0, n_seeds=1, n_fusions=0, has_controls=False
    )
    found = np.zeros((2, N_STUDIES, 2))
    for seed in range(N_STUDIES):
        first, second, *_ = simulate_study(settings, seed)
        predictions = first.predictions
        p = np.stack([first.predictions.p, second.predictions.p])
        decisions = np.stack([first.decide(), second.decide()])
        patients = np.unique(predictions.patients, return_inverse=True)[1]
        y, n_windows = predictions.y > 0, len(patients)
        by_window = Windows(y=y, patient=np.arange(n_windows))
        by_patient = Windows(y=y, patient=patients)
        n_effective = (n_windows, compute_effective_patients(by_patient).total)
        for i, windows in enumerate((by_window, by_patient)):
            measured = measure(windows, p, decisions, "auroc")
            difference = measured.macro_scores[1] - measured.macro_scores[0]
            influence = measured.macro_influence[1] - measured.macro_influence[0]
            width = student_t.ppf(0.975, n_effective[i] - 1) * np.sqrt((influence**2).sum())
            found[i, seed] = difference - width, difference + width
    misses = (found[..., 0] > 0) | (found[..., 1] < 0)
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 4.2), sharex=True)
    titles = ("windows counted as if independent", "patients counted")
    for ax, title, intervals, missed in zip(axes, titles, found, misses, strict=True):
        for y, (low, high) in enumerate(intervals[:N_SHOWN]):
            ax.plot([low, high], [y, y], color=ORANGE if missed[y] else GREY, lw=1.5)
        ax.axvline(0, color="black", lw=1)
        ax.set_title(f"{title}:\n{missed.mean():.0%} of intervals miss the truth", fontsize=10)
        ax.set_yticks([])
        ax.set_xticks([-0.05, 0, 0.05])
        ax.set_xlabel("difference in AUROC; the truth is 0")
        hide_frame(ax)
    fig.tight_layout()
    print("missed", misses.mean(axis=1))
    save(
        fig,
        "trust-intervals",
        "95 % intervals of the difference of two equally good models",
        f"{N_SHOWN} simulated studies of 44 patients. By windows {misses[0].mean():.0%} of "
        f"{N_STUDIES} intervals miss the truth, by patients {misses[1].mean():.0%}.",
    )


def draw_patients() -> None:
    """Draw which patients of the test split of MIT-BIH have the beats of each class."""
    data = ecglib.open_dataset("mitdb")
    selection = data.select("aami")
    test = selection.part == "test"
    y, records = selection.y[test] > 0, selection.records[test]
    fig, ax = plt.subplots(figsize=(7.2, 2.6))
    described = []
    for row, name in enumerate(reversed(selection.classes)):
        of_class = records[y[:, selection.classes.index(name)]]
        names, counts = np.unique(of_class, return_counts=True)
        order = np.argsort(-counts)
        left = 0.0
        for i, index in enumerate(order):
            fraction = counts[index] / counts.sum()
            color = ORANGE if i == 0 else GREY
            ax.barh(row, fraction, left=left, color=color, edgecolor="white", height=0.7)
            if fraction > 0.15:
                label = f"{names[index]}: {fraction:.0%}"
                ax.text(left + fraction / 2, row, label, ha="center", va="center", color="white")
            left += fraction
        name_of_most = names[order[0]]
        described.append(f"{name}: record {name_of_most} has {counts.max()} of {counts.sum()}")
    ax.set_yticks(range(len(selection.classes)), list(reversed(selection.classes)))
    ax.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 % of the beats"])
    hide_frame(ax)
    fig.tight_layout()
    print(described)
    save(
        fig,
        "trust-patients",
        "Which patients of DS2 have the beats of each class",
        "; ".join(described),
    )


if __name__ == "__main__":
    with mpl.rc_context({"svg.fonttype": "path", "font.size": 10}):
        draw_words()
        draw_averaging()
        draw_seeds()
        draw_intervals()
        draw_patients()
