"""Compare a split by beat with one by patient on MIT-BIH: ``python docs/pictures/splits.py``.

Writes ``splits.json``, the table ``splits.txt`` of the page "Why your number differs from the
paper's", and the picture ``splits.svg``. Needs the prepared store of ``mitdb``. The stores and runs
are written to a temporary folder; six trainings take some minutes on two cores. With ``--draw`` the
table and the picture are made again from ``splits.json``.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

import ecglib
from ecglib.datasets.sources.mitdb import CLASSES
from ecglib.evaluation.metrics import compute_scores
from ecglib.evaluation.thresholds import fit_thresholds
from ecglib.plots.figure import BLUE, ORANGE, hide_frame
from ecglib.plots.svg import convert_to_svg
from ecglib.splits import LEAKS

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "splits.json"
SIZES = {"train": 8000, "validation": 2000, "test": 6000}  # beats
SEEDS = (0, 1, 2)
SETTINGS = {"branches": {"time": "cnn"}, "width": 16, "epochs": 6, "learning_rate": 0.002}
SPLITS = {"by patient": "DS1 / DS2, without the shared patient", "by beat": "beats drawn at random"}
SCORES = {
    "accuracy": "accuracy",
    "f1_s": "F1 of S",
    "f1_v": "F1 of V",
    "f1": "macro F1",
    "auroc": "macro AUROC",
}


def draw_rows(data: ecglib.Dataset, split: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the windows of each part, either from the published split or from all beats."""
    selection = data.select("aami_disjoint")
    if split == "by patient":
        return {
            part: rng.choice(selection.rows[selection.part == part], size, replace=False)
            for part, size in SIZES.items()
        }
    rows = rng.choice(selection.rows, sum(SIZES.values()), replace=False)
    ends = np.cumsum(list(SIZES.values()))[:-1]
    return dict(zip(SIZES, np.split(rows, ends), strict=True))


def build_store(data: ecglib.Dataset, split: str, folder: str) -> ecglib.Dataset:
    """Write a store in which each beat is a record of its patient."""
    rows = draw_rows(data, split, np.random.default_rng(0))
    table = data.windows.loc[np.concatenate(list(rows.values())), ["patient", "labels"]]
    table = table.assign(
        record=[f"beat{row}" for row in table.index],
        part=np.repeat(list(rows), [len(part) for part in rows.values()]),
    )
    recordings = ecglib.Recordings(
        signals=data.read(table.index.to_numpy()),
        names=table["record"].tolist(),
        sampling_rate_hz=data.signal.sampling_rate_hz,
        leads=data.signal.leads,
        unit="mV",
    )
    task = ecglib.Task("aami", "multi_class", CLASSES)
    source = ecglib.ArraysSource(split.replace(" ", "_"), recordings, table, task)
    return ecglib.write_store(source, folder)


def score(run: ecglib.Run) -> dict[str, float]:
    """Score the decisions of a run on its test beats."""
    validation, test = run.predictions("validation"), run.predictions("test")
    thresholds = fit_thresholds(validation.y, validation.p, validation.kind)
    scores = compute_scores(test.y, test.p, thresholds, test.kind, test.classes)
    of_class = {f"f1_{name.lower()}": s["f1"] for name, s in scores["per_class"].items()}
    return {**scores["macro"], **of_class}


def compare_splits() -> dict[str, Any]:
    """Train the same model on both splits."""
    data = ecglib.open_dataset("mitdb")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for split in SPLITS:
            store = build_store(data, split, folder)
            leaks = store.summary["leaks"]["part"]
            allowed = [kind for kind in LEAKS if leaks[kind]["count"]]
            runs = [
                ecglib.train(store, seed=seed, allow_leaks=allowed, batch=folder, **SETTINGS)
                for seed in SEEDS
            ]
            found[split] = {
                "leaks": {kind: leaks[kind]["count"] for kind in LEAKS},
                "caveats": runs[0].caveats,
                "scores": [score(run) for run in runs],
            }
            print(split, json.dumps(found[split], indent=1))
    return found


def format_table(found: dict[str, Any]) -> str:
    """Write the Markdown table of the page."""
    lines = [
        "| split | " + " | ".join(SCORES.values()) + " | shared patients |",
        "|---" * (len(SCORES) + 2) + "|",
    ]
    for split, title in SPLITS.items():
        scores = found[split]["scores"]
        means = [f"{np.mean([one[name] for one in scores]):.3f}" for name in SCORES]
        n_shared = found[split]["leaks"]["shared_patients"]
        lines.append(f"| {split}: {title} | " + " | ".join(means) + f" | {n_shared} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, Any]) -> None:
    """Draw the scores of each seed on both splits."""
    fig, ax = plt.subplots(figsize=(7.2, 2.8))
    for (split, color), marker in zip(
        {"by patient": BLUE, "by beat": ORANGE}.items(), "os", strict=True
    ):
        for row, name in enumerate(SCORES):
            values = [one[name] for one in found[split]["scores"]]
            label = f"split {split}" if row == 0 else None
            ax.plot(values, [row] * len(values), marker, color=color, alpha=0.7, label=label)
    ax.set_yticks(range(len(SCORES)), SCORES.values())
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("score on the test split, one sign for each seed")
    ax.legend(loc="lower left", frameon=False)
    hide_frame(ax)
    fig.tight_layout()
    svg = convert_to_svg(
        fig,
        "splits",
        title="The same model on two splits of MIT-BIH",
        description="Scores of three seeds, by patient and by beat; the table has the means.",
    )
    (FOLDER / "splits.svg").write_text(svg + "\n")


if __name__ == "__main__":
    if "--draw" not in sys.argv:
        RESULTS.write_text(json.dumps(compare_splits(), indent=1) + "\n")
    results = json.loads(RESULTS.read_text())
    (FOLDER / "splits.txt").write_text(format_table(results))
    with mpl.rc_context({"svg.fonttype": "path", "font.size": 10}):
        draw(results)
