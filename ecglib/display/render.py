"""The panel of each kind of object."""

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from ecglib._display import Listing
from ecglib.datasets.schema import SignalSpec
from ecglib.display.panel import Panel
from ecglib.evaluation.metrics import MACRO_METRICS, METRIC_NAMES
from ecglib.evaluation.scoreboard import Score
from ecglib.plots import draw_verdicts, use_svg_style
from ecglib.runs import SPLITS

if TYPE_CHECKING:  # importing these for real would cost what is shown without them, such as Keras
    from ecglib.datasets.store import Dataset
    from ecglib.evaluation.comparison import Comparison
    from ecglib.evaluation.predictions import Predictions
    from ecglib.experiment import Experiment
    from ecglib.inference import PredictedRecords
    from ecglib.runs import ContestantFolder, Entry, Run

MAX_ROWS = 50  # of a table of records


def render(shown: object) -> str:
    """Render an object as HTML for Jupyter.

    Parameters
    ----------
    shown : Dataset, Experiment, Run, Entry, Comparison, Predictions, PredictedRecords or Listing
        The object.

    Returns
    -------
    str
        One element. All text is escaped; it inherits the colors of the page.

    Examples
    --------
    >>> "&lt;b&gt;" in render(Listing("Letters", {"<b>": "the second"}))
    True
    """
    name = next(one.__name__ for one in type(shown).__mro__ if one.__name__ in PANELS)
    return PANELS[name](shown).render()


def _build_listing(shown: Listing) -> Panel:
    table = pd.DataFrame({"name": list(shown), "what it is": list(shown.values())})
    return Panel(title=shown.title, tables={"": table})


def _build_dataset(shown: "Dataset") -> Panel:
    selection = shown.select(shown.default_task)
    summary = shown.summary
    facts = {
        "Store": shown.path.name,
        "Size": f"{summary['n_records']:,} records, {len(shown.windows):,} windows, "
        f"{shown.windows['patient'].nunique():,} patients",
        "Windows": describe_signal(shown.signal),
        "Tasks": ", ".join(shown.tasks),
    }
    for kind in ("excluded", "flagged"):
        if found := summary[kind]:
            facts[f"Records {kind}"] = ", ".join(f"{name} {n:,}" for name, n in found.items())
    counts = selection.count_windows().reset_index()
    return Panel(
        title=f"Dataset {shown.name}",
        facts=facts,
        caveats=shown.caveats,
        tables={f"Windows of each class, task {shown.default_task}": counts},
        note='ecglib.train(data, branches={"time": "cnn"})',
    )


def _build_experiment(shown: "Experiment") -> Panel:
    rows = [{"setting": name, "value": str(value)} for name, value in shown.list_changes().items()]
    return Panel(
        title=f"Experiment {shown.model_name}",
        facts={
            "Dataset": f"{shown.data.dataset}-{shown.data.fingerprint}, task {shown.data.task}",
            "Run": shown.run_name,
        },
        tables={"Settings other than the defaults": pd.DataFrame(rows)} if rows else {},
    )


def _build_run(shown: "Run") -> Panel:
    contract, cost = shown.contract, shown.metrics["model"]
    facts = {
        "Task": f"{contract.task} of {contract.dataset}, seed {shown.experiment.training.seed}",
        "Parameters": f"{cost['parameters']:,}",
        "Folder": str(shown.path),
    }
    if "seconds" in cost:
        facts["Training"] = f"{cost['seconds']:,.0f} s"
    return Panel(
        title=f"Run {shown.experiment.model_name}",
        facts=facts,
        caveats=shown.caveats,
        tables=_tabulate_scores(shown),
        note="run.predict(record), ecglib.compare([run, ...])",
    )


def _build_entry(shown: "Entry") -> Panel:
    facts = {
        "Task": f"{shown.data.task} of {shown.data.dataset}, seed {shown.seed}",
        "Parameters": f"{shown.parameters:,}",
        "Folder": str(shown.path),
    }
    return Panel(
        title=f"Entered: {shown.details.model_name}",
        facts=facts,
        caveats=shown.caveats,
        tables=_tabulate_scores(shown),
        note="ecglib.compare(ecglib.find_runs(folder))",
    )


def _tabulate_scores(shown: "ContestantFolder") -> dict[str, pd.DataFrame]:
    metrics = shown.metrics
    macro = pd.DataFrame(
        {
            "split": list(SPLITS),
            **{
                METRIC_NAMES[name]: [_format_score(metrics[one]["macro"][name]) for one in SPLITS]
                for name in MACRO_METRICS
            },
        }
    )
    classes = pd.DataFrame(
        [
            {
                "class": name,
                "positive windows": f"{scores['n_positive']:,}",
                **{
                    METRIC_NAMES[metric].removeprefix("macro "): _format_score(scores[metric])
                    for metric in MACRO_METRICS
                },
            }
            for name, scores in metrics["test"]["per_class"].items()
        ]
    )
    return {
        "Scores with 95 % intervals over patients": macro,
        "Each class on the test split": classes,
    }


def _build_comparison(shown: "Comparison") -> Panel:
    # Equal figures may have equal identifiers on one page, different ones may not.
    text = shown.to_text().encode("utf-8", "replace")
    name = f"c{hashlib.blake2b(text, digest_size=6).hexdigest()}"
    with use_svg_style():
        picture = draw_verdicts(shown, name)
    verdicts = [verdict.describe() for verdict in shown.sort_verdicts()]
    tables = {"Mean over seeds with its 95 % interval": shown.format_scores()}
    if shown.verdicts:
        tables = {"Verdicts": shown.format_verdicts(), **tables}
    failed = [f"{check.title} ({check.detail})" for check in shown.checks if not check.passed]
    facts = {
        "Data": f"{shown.dataset}, task {shown.task}. {shown.describe_split()}",
        "Compared by": f"{METRIC_NAMES[shown.metric]}, smallest gain worth having {shown.margin:g}",
    }
    if failed:
        facts["Checks that failed"] = "; ".join(failed)
    return Panel(
        title=shown.headline,
        facts=facts,
        caveats=shown.caveats,
        sentences=(
            *verdicts,
            *shown.describe_pairs(),
            *shown.describe_entered(),
            *shown.describe_baselines(),
        ),
        svg=picture.svg,
        tables=tables,
    )


def _build_predictions(shown: "Predictions") -> Panel:
    table = pd.DataFrame(
        {
            "class": shown.classes,
            "positive windows": (shown.y == 1).sum(axis=0),
            "mean probability": shown.p.mean(axis=0),
        }
    )
    return Panel(
        title=f"Predictions of {shown.n_windows:,} windows of {shown.n_patients:,} patients",
        tables={"Labels and probabilities": table},
    )


def _build_predicted_records(shown: "PredictedRecords") -> Panel:
    contract, table = shown.contract, shown.to_table().drop(columns="caveats")
    empty = [name for name in ("problems", "refused") if not table[name].astype(bool).any()]
    caption = "Probabilities and decisions"
    if len(table) > MAX_ROWS:
        caption += f", the first {MAX_ROWS} of {len(table):,} rows (to_table() has all)"
    return Panel(
        title=f"{len(shown.windows):,} windows predicted, {len(shown.refused):,} records refused",
        facts={"Task": f"{contract.task} of {contract.dataset}"},
        caveats=shown.caveats,
        tables={caption: table.drop(columns=empty).head(MAX_ROWS)},
    )


def describe_signal(signal: SignalSpec) -> str:
    """Describe what the windows of a dataset are.

    Parameters
    ----------
    signal : SignalSpec
        Sampling rate, samples and leads.

    Returns
    -------
    str
        One line.

    Examples
    --------
    >>> describe_signal(SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("I", "II")))
    '10 s at 100 Hz in mV, 2 leads: I, II'
    """
    return (
        f"{signal.n_samples / signal.sampling_rate_hz:g} s at {signal.sampling_rate_hz:g} Hz in "
        f"mV, {len(signal.leads)} leads: {', '.join(signal.leads)}"
    )


def _format_score(score: dict[str, Any]) -> str:
    values = {name: float("nan") if value is None else value for name, value in score.items()}
    return Score(**values).format()


# By the name of the class.
PANELS: Mapping[str, Callable[[Any], Panel]] = MappingProxyType(
    {
        "Listing": _build_listing,
        "Dataset": _build_dataset,
        "Experiment": _build_experiment,
        "Run": _build_run,
        "Entry": _build_entry,
        "Comparison": _build_comparison,
        "Predictions": _build_predictions,
        "PredictedRecords": _build_predicted_records,
    }
)
