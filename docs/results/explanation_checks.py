"""Carry out the checks of explanations on the runs of a batch, for the guide of explanations.

``python -m docs.results.explanation_checks BATCH --made-by COMMAND``, where BATCH is the folder of
a batch with several seeds. ``docs/results/explanations/DATASET.json`` holds how many pages pass
each check, and how similar the explanations of other seeds are, beside two similarities of which
there should be none: to the other seeds in another window, and to a network trained on permuted
labels. ``docs/generate/explanations.py`` makes tables of it for the guide.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from ecglib.datasets import Dataset, open_dataset
from ecglib.explain import METHODS, Attribution, Explainer, Explanation, train_on_permuted_labels
from ecglib.explain.attribution import CONTRIBUTION
from ecglib.explain.found_windows import find_windows
from ecglib.explain.methods import COARSE_METHODS
from ecglib.explain.other_seeds import SeedScores, build_seed_scores
from ecglib.explain.record_windows import RecordWindow
from ecglib.explain.run_scores import SIGNAL
from ecglib.explain.targets import make_representation_target, make_signal_target
from ecglib.inference import read_stored_windows
from ecglib.paths import write_json
from ecglib.runs import Run, find_runs
from ecglib.runs.contestants import name_contestants

RESULTS = Path(__file__).parent / "explanations"
SEGMENT_S = 0.2
QUANTILES = (0.05, 0.95)
Measure = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExplainedWindow:
    """A window of a class, and its attributions by the run, other seeds and permuted labels."""

    class_name: str
    record: str
    explanation: Explanation
    seeds: list[dict[str, Attribution]]
    permuted: dict[str, Attribution]


def main() -> None:
    """Carry out the checks on the batch that the command line names."""
    parser = argparse.ArgumentParser(description="Check explanations of the runs of a batch.")
    parser.add_argument("batch", type=Path, help="folder of the batch")
    parser.add_argument("--made-by", required=True, help="command that carried out the batch")
    parser.add_argument("--data-dir", default="", help="folder of the stores")
    parser.add_argument("--windows", type=int, default=12, help="windows of each model and class")
    parser.add_argument("--models", nargs="*", default=[], help="names of models; empty for all")
    options = parser.parse_args()
    runs = [one for one in find_runs(options.batch) if isinstance(one, Run)]
    contract = runs[0].contract
    dataset = open_dataset(f"{contract.dataset}-{contract.fingerprint}", options.data_dir)
    rows: list[dict[str, object]] = []
    for model_hash, name in name_contestants(runs).items():
        if options.models and name not in options.models:
            continue
        run = min((one for one in runs if one.model_hash == model_hash), key=lambda one: one.seed)
        print(name, flush=True)
        rows += measure_model(run, name, dataset, options.windows)
        write_result(rows, runs[0], dataset, options)


def write_result(
    rows: Sequence[dict[str, object]], run: Run, dataset: Dataset, options: argparse.Namespace
) -> None:
    """Write the rows with the commands and versions; those of models not measured now remain."""
    again = (
        f"python -m docs.results.explanation_checks runs/{options.batch.name} "
        f'--windows {options.windows} --made-by "{options.made_by}"'
    )
    if options.models:
        again += f" --models {' '.join(options.models)}"
    path = RESULTS / f"{dataset.name}.json"
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    measured = {row["model"] for row in rows}
    others = [row for row in values.get("rows", ()) if row["model"] not in measured]
    commands = dict.fromkeys([*values.get("commands", ()), options.made_by, again])
    RESULTS.mkdir(exist_ok=True)
    values = {
        "commands": list(commands),
        "versions": run.environment.versions,
        "caveats": list(dataset.caveats),
        "dataset": dataset.name,
        "rows": [*others, *rows],
    }
    write_json(path, values)


def measure_model(
    run: Run, name: str, dataset: Dataset, n_windows: int
) -> Iterator[dict[str, object]]:
    """Measure the checks and similarities of each method for the run with the lowest seed."""
    explainer = Explainer(run, dataset)
    permuted = build_seed_scores(
        run,
        train_on_permuted_labels(run.experiment, dataset),
        explainer.processing,
        explainer.signal_scores,
        explainer.representation_scores,
    )
    windows = list(read_windows(run, dataset, explainer, n_windows))
    for method in METHODS:
        explained = [
            explain_window(explainer, class_name, given, method, permuted)
            for class_name, given in windows
        ]
        print(f"  {method}: {len(explained)} windows", flush=True)
        for number, one in enumerate(explained[0].explanation.inputs):
            if one.checks:
                about = {"model": name, "method": method, "input_name": one.name}
                yield from ({**about, **row} for row in count_checks(explained, number))
                yield from ({**about, **row} for row in compare_windows(explained, one.name))


def read_windows(
    run: Run, dataset: Dataset, explainer: Explainer, n_windows: int
) -> Iterator[tuple[str, RecordWindow]]:
    """Read test windows of each class that have it and are predicted to have it."""
    for class_name in run.contract.classes:
        found = find_windows(run, dataset, class_name, n_windows)
        columns = explainer.predictor.tabular_columns
        for window in read_stored_windows(dataset, found.rows, columns) if len(found.rows) else ():
            yield class_name, RecordWindow(window=window, split="test", labels=(class_name,))


def explain_window(
    explainer: Explainer, class_name: str, given: RecordWindow, method: str, permuted: SeedScores
) -> ExplainedWindow:
    """Explain a window as its page does, and by the other seeds and permuted labels."""
    contract = explainer.contract
    target = make_signal_target(contract, explainer.signal_scores, given.window, class_name)
    inputs, _ = make_representation_target(
        contract,
        explainer.processing,
        explainer.representation_scores,
        explainer.signal_scores,
        target,
    )

    explanation = explainer.explain(given, class_name, method)

    def attribute(scores: SeedScores) -> dict[str, Attribution]:
        attribute_target = COARSE_METHODS[method]
        of_signal = attribute_target(dataclasses.replace(target, scores=scores.signal))
        found = {SIGNAL: of_signal[SIGNAL]}
        if explanation.representations:
            changed = dataclasses.replace(inputs, scores=scores.representations)
            found |= attribute_target(changed)
        return found

    return ExplainedWindow(
        class_name=class_name,
        record=given.window.record,
        explanation=explanation,
        seeds=[attribute(scores) for scores in explainer.other_seeds.models],
        permuted=attribute(permuted),
    )


def count_checks(explained: Sequence[ExplainedWindow], number: int) -> Iterator[dict[str, object]]:
    """Count the windows in which an input passes each check."""
    checks = [one.explanation.inputs[number].checks for one in explained]
    for same in zip(*checks, strict=True):
        figures = [check.figure for check in same]
        yield {
            "kind": "check",
            "name": same[0].name,
            "n_windows": len(same),
            "n_passed": sum(check.passed for check in same),
            "median": float(np.median(figures)),
            "accepted": same[0].accepted,
        }


def compare_windows(explained: Sequence[ExplainedWindow], name: str) -> Iterator[dict[str, object]]:
    """Compare the attributions of an input with those of other seeds, and with two nulls."""
    rng = np.random.default_rng(0)
    same_class, other_class = (
        [_choose(explained, one, rng, k) for one in explained] for k in (1, 0)
    )
    originals = [
        next(x.attribution for x in one.explanation.inputs if x.name == name) for one in explained
    ]
    compared = {
        "other seeds": [(one.class_name, one.seeds) for one in explained],
        "other seeds, another window of the class": [
            (one.class_name, other.seeds if other else [])
            for one, other in _pair(explained, same_class)
        ],
        "other seeds, a window of another class": [
            (one.class_name, other.seeds if other else [])
            for one, other in _pair(explained, other_class)
        ],
        "permuted labels": [(one.class_name, [one.permuted]) for one in explained],
    }
    for measure, transform in list_measures(originals[0]).items():
        for with_what, others in compared.items():
            figures = {
                row: float(
                    np.mean(
                        [correlate(transform(originals[row]), transform(x[name])) for x in found]
                    )
                )
                for row, (_, found) in enumerate(others)
                if found
            }
            yield {
                "kind": "similarity",
                "name": measure,
                "compared_with": with_what,
                **_summarize(list(figures.values())),
                "classes": {
                    class_name: float(
                        np.mean([x for row, x in figures.items() if others[row][0] == class_name])
                    )
                    for class_name in dict.fromkeys(others[row][0] for row in figures)
                },
            }


def list_measures(attribution: Attribution) -> dict[str, Callable[[Attribution], np.ndarray]]:
    """List what of an attribution can be compared, each as numbers to correlate."""
    is_signal = attribution.input_name == SIGNAL
    if not is_signal:
        return {
            "bins, ranks": lambda one: rankdata(one.shown),
            "bins, values": lambda one: one.shown.ravel(),
        }
    measures: dict[str, Callable[[Attribution], np.ndarray]] = {
        "samples, ranks": lambda one: rankdata(one.importance),
        "samples, values": lambda one: one.importance.ravel(),
        "squares of 40 ms, ranks": lambda one: rankdata(one.shown),
        "squares of 40 ms, values": lambda one: one.shown.ravel(),
        "segments of 200 ms, values": _average_segments,
    }
    if len(attribution.axes[-1].values) > 2:
        measures["leads, values"] = lambda one: one.importance.sum(axis=(0, 1))
    if attribution.unit == CONTRIBUTION:
        measures["squares of 40 ms, sizes"] = lambda one: np.abs(one.shown).ravel()
    return measures


def _average_segments(attribution: Attribution) -> np.ndarray:
    segments = np.floor(attribution.axes[0].values / SEGMENT_S + 1e-9).astype(int)
    means = [attribution.importance[0, segments == k].mean(axis=0) for k in np.unique(segments)]
    return np.ravel(means)


def correlate(one: np.ndarray, other: np.ndarray) -> float:
    """Correlate two arrays; 0 if one is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _choose(
    explained: Sequence[ExplainedWindow], one: ExplainedWindow, rng: np.random.Generator, same: int
) -> ExplainedWindow | None:
    """Choose a window of another record, of the same class or of another."""
    others = [
        other
        for other in explained
        if (other.class_name == one.class_name) == bool(same) and other.record != one.record
    ]
    return others[rng.integers(len(others))] if others else None


def _pair(
    explained: Sequence[ExplainedWindow], others: Sequence[ExplainedWindow | None]
) -> list[tuple[ExplainedWindow, ExplainedWindow | None]]:
    return list(zip(explained, others, strict=True))


def _summarize(figures: Sequence[float]) -> dict[str, object]:
    low, high = np.quantile(figures, QUANTILES) if figures else (np.nan, np.nan)
    return {
        "n_windows": len(figures),
        "mean": float(np.mean(figures)) if figures else None,
        "low": float(low),
        "high": float(high),
        "above": {
            f"{x:.1f}": int(np.sum(np.array(figures) >= x)) for x in (0.2, 0.3, 0.4, 0.5, 0.6)
        },
    }


if __name__ == "__main__":
    main()
