"""The files of a report, written into the folder of its batch."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import ecglib
from ecglib import paths
from ecglib.batch.jobs import WORK_FOLDER
from ecglib.batch.report.page import Page, build_section, render_page
from ecglib.batch.state import find_compared_runs
from ecglib.evaluation.comparison import RIVAL_TITLES, Comparison
from ecglib.runs import METRICS, REPORT, ContestantFolder

STAMP = Path(WORK_FOLDER, "report.json")  # what the report was made from


def write_report(folder: Path, comparisons: Sequence[Comparison]) -> Path:
    """Write ``report.html`` and its tables into the folder of a batch.

    Each task, store and cross-validation has a section with a headline of its own. The tables are
    scores.csv, verdicts.csv, scores.tex, verdicts.tex, and comparison.json with all numbers.
    Nothing is written if nothing that they show has changed since the last report.

    Parameters
    ----------
    folder : Path
        Folder of the batch.
    comparisons : sequence of Comparison
        Of its runs, as `ecglib.batch.comparison.compare_batches` returns them.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    RunError
        If there is no run.

    Examples
    --------
    >>> write_report(Path("runs/none"), [])
    Traceback (most recent call last):
    ...
    ecglib.errors.RunError: No finished run in runs/none. ...
    """
    runs = find_compared_runs(folder)
    report, stamp = folder / REPORT, _hash_contents(runs, comparisons)
    if report.is_file() and _read_stamp(folder) == stamp:
        return report
    sections = [
        build_section(comparison, _select_runs(comparison, runs), folder, f"s{number}")
        for number, comparison in enumerate(comparisons, start=1)
    ]
    page = Page(
        title=folder.name,
        finished=_find_finish(runs),
        version=ecglib.__version__,
        sections=tuple(sections),
    )
    _write_tables(folder, comparisons)
    paths.write_text(report, render_page(page))
    paths.write_json(folder / STAMP, stamp)
    return report


def _select_runs(
    comparison: Comparison, runs: Sequence[ContestantFolder]
) -> list[ContestantFolder]:
    """Select the runs that a comparison of the batch compares."""
    return [
        run
        for run in runs
        if f"{run.data.dataset}-{run.data.fingerprint}" == comparison.dataset
        and run.data.task == comparison.task
        and run.data.n_folds == comparison.n_folds
    ]


def _find_finish(runs: Sequence[ContestantFolder]) -> str:
    newest = max((run.path / METRICS).stat().st_mtime for run in runs)
    return datetime.datetime.fromtimestamp(newest, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _write_tables(folder: Path, comparisons: Sequence[Comparison]) -> None:
    scores = pd.concat(
        [one.table.assign(dataset=one.dataset, task=one.task) for one in comparisons]
    )
    first = ["dataset", "task"]
    scores = scores[first + [name for name in scores.columns if name not in first]]
    paths.write_csv(folder / "scores.csv", scores)
    verdicts = pd.DataFrame([row for one in comparisons for row in _list_verdicts(one)])
    paths.write_csv(folder / "verdicts.csv", verdicts)
    paths.write_text(
        folder / "scores.tex",
        "\n".join(_format_latex(one, one.format_scores()) for one in comparisons),
    )
    paths.write_text(
        folder / "verdicts.tex",
        "\n".join(_format_latex(one, one.format_verdicts()) for one in comparisons),
    )
    paths.write_json(folder / "comparison.json", [one.to_dict() for one in comparisons])


def _list_verdicts(comparison: Comparison) -> list[dict[str, Any]]:
    """List one row for each fusion and each of its rivals."""
    rows = []
    for verdict in comparison.sort_verdicts():
        values = {
            "dataset": comparison.dataset,
            "task": comparison.task,
            "metric": verdict.metric,
            "margin": verdict.margin,
            "fusion": verdict.fusion,
            "verdict": verdict.word,
            "p_adds": verdict.p_adds,
            "p_no_gain": verdict.p_no_gain,
            "seeds": verdict.n_seeds,
            "effective_patients": verdict.effective_patients,
            "min_patients_needed": verdict.needs.min_patients if verdict.needs else None,
            "max_patients_needed": verdict.needs.max_patients if verdict.needs else None,
            "seeds_needed": verdict.needs.seeds if verdict.needs else None,
            "reasons": " ".join(verdict.reasons),
            "caveats": "; ".join(verdict.caveats),
        }
        rivals = [
            {
                "over": RIVAL_TITLES[rival.kind] if rival.branch == verdict.best_branch else "",
                "rival": rival.difference.name,
                "kind": rival.kind,
                "difference": rival.difference.estimate,
                "low": rival.difference.low,
                "high": rival.difference.high,
                "p": rival.difference.compute_p_value(),
            }
            for rival in verdict.rivals
        ]
        rows += [values | rival for rival in rivals or [{}]]
    return rows


def _format_latex(comparison: Comparison, table: pd.DataFrame) -> str:
    comment = " ".join(f"{comparison.dataset}, task {comparison.task}".split())
    if not len(table):
        return f"% {comment}: none\n"
    return f"% {comment}\n{table.to_latex(index=False, escape=True)}"


def _hash_contents(
    runs: Sequence[ContestantFolder], comparisons: Sequence[Comparison]
) -> dict[str, str]:
    """Hash what a report shows: the runs and their comparisons, and the version that writes it."""
    digest = hashlib.blake2b()
    digest.update(json.dumps([one.to_dict() for one in comparisons], default=str).encode())
    for run in runs:
        digest.update(run.path.name.encode() + (run.path / METRICS).read_bytes())
    return {"version": ecglib.__version__, "contents": digest.hexdigest()}


def _read_stamp(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / STAMP).read_text()))
    except (OSError, ValueError):
        return {}
