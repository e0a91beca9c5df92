"""What the commands print: JSON for scripts, text for people."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing these for real would cost every command
    from ecglib.datasets.selection import Selection
    from ecglib.datasets.store import Dataset
    from ecglib.evaluation.comparison import Comparison
    from ecglib.inference import Exported, Latency, PredictedRecords
    from ecglib.runs import Run

MAX_EXAMPLES = 3  # of one kind of leak or duplicate


def print_json(values: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Print values as JSON.

    Parameters
    ----------
    values : dict or list of dict
        Plain values.

    Examples
    --------
    >>> print_json({"batch": "fusion", "failed": []})
    {
     "batch": "fusion",
     "failed": []
    }
    """
    print(json.dumps(values, indent=1))


def summarize_store(dataset: "Dataset") -> dict[str, Any]:
    """Return what identifies a store, as plain values.

    Parameters
    ----------
    dataset : Dataset
        The store.

    Returns
    -------
    dict of str to object
        Its path, name, fingerprint, sizes, signal spec, excluded records and tasks.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     summary = summarize_store(dataset)
    >>> summary["name"], summary["n_records"], summary["excluded"], summary["tasks"]
    ('synthetic', 39, {}, ['superdiagnostic'])
    """
    keys = ("name", "fingerprint", "synthetic", "n_records", "n_windows", "signal", "excluded")
    summary = {key: dataset.summary[key] for key in keys}
    return {"path": str(dataset.path), **summary, "tasks": list(dataset.tasks)}


def print_store(dataset: "Dataset") -> None:
    """Print what a store holds, what was excluded from it and which caveats it has.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     print_store(dataset)
    /...: Synthetic 12-lead ECGs from a model of the heart vector, PTB-XL's superclasses
      39 records, 39 windows of 1000 samples at 100 Hz, leads I, II, ...
      caveat of every run: synthetic data
    """
    summary, signal = dataset.summary, dataset.signal
    print(f"{dataset.path}: {summary['description']}")
    print(
        f"  {summary['n_records']:,} records, {summary['n_windows']:,} windows of "
        f"{signal.n_samples} samples at {signal.sampling_rate_hz:g} Hz, leads "
        f"{', '.join(signal.leads)}"
    )
    for problem, number in summary["excluded"].items():
        print(f"  excluded: {problem}: {number:,}")
    for problem, number in summary["flagged"].items():
        print(f"  flagged: {problem}: {number:,}")
    if summary["excluded"] or summary["flagged"]:
        print(f"  each record with its problem: {dataset.path / 'problems.csv'}")
    for caveat in dataset.caveats:
        print(f"  caveat of every run: {caveat}")


def print_splits(column: str, reports: dict[str, Any]) -> None:
    """Print the patients of each split, and what the splits share.

    Parameters
    ----------
    column : str
        The column of the window table that holds the splits.
    reports : dict of str to dict
        The reports "people", "leaks" and "duplicates" on them.

    Examples
    --------
    >>> nothing = {"count": 0, "examples": []}
    >>> people = {
    ...     "windows": 1200,
    ...     "patients": 800,
    ...     "age": {"median": 62.0},
    ...     "women": {"fraction": 0.48},
    ... }
    >>> reports = {
    ...     "people": {"train": people},
    ...     "leaks": {"shared_patients": nothing},
    ...     "duplicates": {"identical_signals": {"count": 1, "examples": ["r1, r2"]}},
    ... }
    >>> print_splits("part", reports)
    <BLANKLINE>
    Splits in the column 'part'
      train: 1,200 windows, 800 patients, median age 62, 48% women
      shared patients: 0
      identical signals: 1
        r1, r2
    """
    print(f"\nSplits in the column {column!r}")
    for split, people in reports["people"].items():
        age, women = people["age"], people["women"]
        text = f"  {split}: {people['windows']:,} windows, {people['patients']:,} patients"
        if age:
            text += f", median age {age['median']:g}"
        if women:
            text += f", {women['fraction']:.0%} women"
        print(text)
    kinds = ("shared_patients", "similar_patients")
    shared = {kind: reports["leaks"][kind] for kind in kinds if kind in reports["leaks"]}
    for kind, found in (shared | reports["duplicates"]).items():
        print(f"  {kind.replace('_', ' ')}: {found['count']}")
        for example in found["examples"][:MAX_EXAMPLES]:
            print(f"    {example}")


def print_task(selection: "Selection", balance: dict[str, Any]) -> None:
    """Print the windows of each class in each split of a task.

    Parameters
    ----------
    selection : Selection
        The windows of the task.
    balance : dict
        The report on the balance of its classes (`ecglib.splits.report`).

    Examples
    --------
    >>> import numpy as np
    >>> from ecglib.datasets.schema import Task
    >>> from ecglib.datasets.selection import Selection
    >>> selection = Selection(
    ...     task=Task("af", "multi_label", {"AF": ["AF"]}, description="atrial fibrillation"),
    ...     classes=["AF"],
    ...     rows=np.array([0, 1, 2]),
    ...     y=np.array([[1.0], [0.0], [1.0]], np.float32),
    ...     part=np.array(["train", "train", "test"]),
    ...     patients=np.array(["p1", "p2", "p3"]),
    ...     records=np.array(["r1", "r2", "r3"]),
    ...     tabular=np.zeros((3, 0), np.float32),
    ... )
    >>> balance = {"statement": "The classes are not balanced."}
    >>> print_task(selection, balance)  # doctest: +NORMALIZE_WHITESPACE
    <BLANKLINE>
    Task af: atrial fibrillation
           train  validation  test
    class
    AF         1           0     1
      The classes are not balanced.
    """
    print(f"\nTask {selection.task.name}: {selection.task.description}")
    print(selection.count_windows().to_string())
    print(f"  {balance['statement']}")


def print_comparison(comparison: "Comparison") -> None:
    """Print the tables and verdicts of a comparison.

    Examples
    --------
    >>> from ecglib.evaluation import compare_contestants
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=60, n_seeds=2, n_fusions=1), seed=0)
    >>> print_comparison(compare_contestants(study, dataset="simulated", task="superdiagnostic"))
    <BLANKLINE>
    Cannot tell whether a fusion helps: 2 seeds
    ...
    """
    print("\n" + comparison.to_text())


def print_exported(exported: "Exported", files: dict[str, str], caveats: Sequence[str]) -> None:
    """Print which files an export wrote and how far each is from the run.

    Parameters
    ----------
    exported : Exported
        What was written.
    files : dict of str to str
        Format -> name of its file.
    caveats : sequence of str
        The caveats of the run.

    Examples
    --------
    >>> from pathlib import Path
    >>> from ecglib.inference import Exported
    >>> exported = Exported(
    ...     path=Path("export"),
    ...     max_differences={"keras": 1.2e-7},
    ...     compared_with="the stored predictions of 256 test windows",
    ...     skipped={"onnx": "ONNX needs tf2onnx"},
    ... )
    >>> print_exported(exported, {"keras": "model.keras"}, ["synthetic data"])
    export, compared with the stored predictions of 256 test windows:
      model.keras  largest difference 1.2e-07
      not written: ONNX needs tf2onnx
      caveat: synthetic data
    """
    print(f"{exported.path}, compared with {exported.compared_with}:")
    for name, difference in exported.max_differences.items():
        print(f"  {files[name]:<12} largest difference {difference:.1e}")
    for reason in exported.skipped.values():
        print(f"  not written: {reason}")
    for reason in exported.failed.values():
        print(f"  failed: {reason}")
    for caveat in caveats:
        print(f"  caveat: {caveat}")


def print_predictions(run: "Run", predicted: "PredictedRecords", latency: "Latency | None") -> None:
    """Print the decisions and probabilities of each window, and the refused records.

    Parameters
    ----------
    run : Run
        The run that predicted.
    predicted : PredictedRecords
        Its predictions.
    latency : Latency, optional
        How long one record takes; None if no record could be predicted.

    Examples
    --------
    With plain objects in place of a run and its contract:

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from ecglib.inference import Latency, PredictedRecords
    >>> from ecglib.inference.records import Window
    >>> contract = SimpleNamespace(
    ...     task="rhythm", dataset="synthetic", classes=("N", "AF"), caveats=("synthetic data",)
    ... )
    >>> run = SimpleNamespace(
    ...     contract=contract, experiment=SimpleNamespace(model_name="time:cnn")
    ... )
    >>> predicted = PredictedRecords(
    ...     contract=contract,
    ...     windows=[Window(record="a", start_s=0.0, steps=np.zeros((1000, 1), np.int16))],
    ...     p=np.array([[0.1, 0.9]], np.float32),
    ...     decisions=np.array([[False, True]]),
    ...     refused=[],
    ...     duration_s=0.5,
    ... )
    >>> print_predictions(run, predicted, Latency(record_s=0.004, model_s=0.003))
    time:cnn, task rhythm of synthetic
      caveat: synthetic data
    a from 0 s: AF  (N 0.100, AF 0.900)
    One record takes 4.0 ms, 3.0 ms of it the model; all: 2 records per second.
    """
    contract = run.contract
    print(f"{run.experiment.model_name}, task {contract.task} of {contract.dataset}")
    for caveat in predicted.caveats:
        print(f"  caveat: {caveat}")
    for row, window in enumerate(predicted.windows):
        decisions = ", ".join(predicted.list_decisions(row)) or "none"
        classes = zip(contract.classes, predicted.p[row], strict=True)
        probabilities = ", ".join(f"{name} {p:.3f}" for name, p in classes)
        print(f"{window.record} from {window.start_s:g} s: {decisions}  ({probabilities})")
        for problem in window.problems:
            print(f"  problem: {problem}")
    for refusal in predicted.refused:
        print(f"refused: {refusal.record}: {refusal.detail}")
    if latency:
        print(
            f"One record takes {1e3 * latency.record_s:.1f} ms, {1e3 * latency.model_s:.1f} ms of "
            f"it the model; all: {predicted.records_per_s:,.0f} records per second."
        )
