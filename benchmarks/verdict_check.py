"""The error rates of verdicts, by simulation: ``make verdict-check``.

Studies are simulated whose truth is known (`ecglib.evaluation.simulation`), judged by the functions
that judge real batches, and counted: how often intervals contain the truth, how often a useless
fusion is said to add something, how often a useful one is found. The tables are written to
``docs/reference/verdict_check.md``.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from ecglib.evaluation import ComparisonSettings, compute_verdicts, group_by_model, measure_models
from ecglib.evaluation.rules import ALPHA
from ecglib.evaluation.simulation import StudySettings, simulate_study
from ecglib.evaluation.verdict import ADDS, ADDS_LITTLE
from ecglib.paths import write_text

N_STUDIES = 1000
CHUNK = 25
DOCUMENT = Path("docs/reference/verdict_check.md")
BRANCH, FUSION = "time:cnn", "fusion 1"
# Branches as far apart as on PTB-XL: time, frequency, spectrogram.
UNEQUAL_BRANCHES = (0.0, 0.09, 0.03)

Counts = dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One simulated situation, and what its rates must be.

    Parameters
    ----------
    table : str
        Title of the table it belongs to.
    name : str
        What is simulated.
    study : StudySettings
        The studies.
    rate : str
        Which rate is counted: a key of what `judge_study` returns.
    low, high : float
        Accepted range of the rate.
    metric : str, default "auroc"
        The score.
    """

    table: str
    name: str
    study: StudySettings
    rate: str
    low: float
    high: float
    metric: str = "auroc"


def judge_study(study: StudySettings, metric: str, seed: int) -> Counts:
    """Simulate a study, judge it, and count what is right and what is wrong.

    Parameters
    ----------
    study : StudySettings
        The study.
    metric : str
        The score.
    seed : int
        Seed of the simulation.

    Returns
    -------
    dict of str to float
        ``coverage`` (1 if the interval of the first fusion over the first branch contains the
        true difference, nan if it is said that it cannot be measured), ``not measured``, ``any
        adds`` (1 if any fusion is said to add something), ``adds`` and ``no gain`` (fraction of
        the fusions of which this is said).
    """
    models = group_by_model(simulate_study(study, seed))
    scoreboard = measure_models(models, metric)
    difference = scoreboard.subtract(FUSION, BRANCH)
    truth = study.gain + study.control_gain
    covers = difference.low <= truth <= difference.high
    settings = ComparisonSettings(metric=metric)
    verdicts = compute_verdicts(models, scoreboard, settings)
    adds = [one.word in (ADDS, ADDS_LITTLE) for one in verdicts]
    return {
        "coverage": float("nan") if np.isnan(difference.low) else float(covers),
        "not measured": float(np.isnan(difference.low)),
        "any adds": float(any(adds)),
        "adds": float(np.mean(adds)),
        "no gain": float(np.mean([one.p_no_gain <= ALPHA for one in verdicts])),
    }


def list_cells() -> list[Cell]:
    """List all situations, table by table."""
    return [
        *_list_coverage_cells(),
        *_list_seed_cells(),
        *_list_error_cells(),
        *_list_power_cells(),
    ]


def _list_coverage_cells() -> Iterator[Cell]:
    table = "Coverage of 95 % intervals over patients"
    pair = StudySettings(
        n_seeds=1, seed_std=0.0, n_fusions=1, has_controls=False, windows="unequal"
    )
    for n_patients in (16, 22, 44, 100, 250, 2000):
        study = dataclasses.replace(
            pair,
            n_patients=n_patients,
            n_validation_patients=20,
            windows="unequal" if n_patients < 1000 else "few",
        )
        name = f"AUROC difference, {n_patients:,} patients"
        yield Cell(table=table, name=name, study=study, rate="coverage", low=0.93, high=0.97)
    for n_patients in (16, 22, 44, 100):
        study = dataclasses.replace(
            pair, n_patients=n_patients, n_validation_patients=n_patients, has_thresholds=True
        )
        name = f"F1 difference, {n_patients:,} patients"
        yield Cell(
            table=table, name=name, study=study, rate="coverage", low=0.95, high=0.97, metric="f1"
        )
    study = dataclasses.replace(pair, n_patients=2000, windows="one", has_thresholds=True)
    name = "F1 difference, 2,000 patients, thresholds from 250"
    yield Cell(
        table=table, name=name, study=study, rate="coverage", low=0.93, high=0.97, metric="f1"
    )


def _list_seed_cells() -> Iterator[Cell]:
    for n_patients in (250, 2000):
        for n_seeds in (2, 5):
            for seed_std in (0.0, 0.004, 0.01, 0.03):
                study = StudySettings(n_patients=n_patients, n_seeds=n_seeds, seed_std=seed_std)
                name = f"{n_patients:,} patients, {n_seeds} seeds of SD {seed_std:g}"
                table = "Coverage of 95 % intervals over patients and seeds"
                yield Cell(
                    table=table, name=name, study=study, rate="coverage", low=0.939, high=0.968
                )
                table = "False alarms: a useless fusion of six is said to add something"
                yield Cell(table=table, name=name, study=study, rate="any adds", low=0, high=0.025)


def _list_error_cells() -> Iterator[Cell]:
    table = "False alarms: a useless fusion of six is said to add something"
    # Only controls of one branch are as good as the fusions: the hardest case for a test of all.
    one_branch = StudySettings(branch_deficits=(0.0, 0.05, 0.05), control_gain=0.01)
    wrong = StudySettings(
        n_validation_patients=100, branch_deficits=(0.0, 0.005, 0.02), control_gain=0.01
    )
    situations = {
        "one branch with controls as good as the fusions": one_branch,
        "one unstable fusion, SD 0.03 among 0.004": StudySettings(unstable_std=0.03),
        "the best branch chosen on 100 validation patients": wrong,
    }
    for name, study in situations.items():
        for n_patients in (250, 2000):
            yield Cell(
                table=table,
                name=f"{n_patients:,} patients, {name}",
                study=dataclasses.replace(study, n_patients=n_patients),
                rate="any adds",
                low=0,
                high=0.025,
            )
    for n_patients in (22, 44):
        study = StudySettings(
            n_patients=n_patients,
            n_validation_patients=n_patients,
            windows="unequal",
            n_folds=5,
            n_fusions=3,
        )
        name = f"cross-validation over {n_patients} patients"
        yield Cell(table=table, name=name, study=study, rate="any adds", low=0, high=0.025)
        yield Cell(
            table="Coverage of 95 % intervals over patients and seeds",
            name=name,
            study=study,
            rate="coverage",
            low=0.93,
            high=0.97,
        )
    for n_patients in (250, 2000):
        study = StudySettings(n_patients=n_patients, gain=0.01, branch_deficits=UNEQUAL_BRANCHES)
        yield Cell(
            table='Wrong "no gain": a gain of the margin (0.01) is denied',
            name=f"{n_patients:,} patients",
            study=study,
            rate="no gain",
            low=0,
            high=0.025,
        )


def _list_power_cells() -> Iterator[Cell]:
    table = "Power: a fusion that gains 0.02 over all rivals is found (250 patients, 5 seeds)"
    for seed_std in (0.004, 0.01):
        for n_fusions in (1, 6):
            study = StudySettings(
                gain=0.02, seed_std=seed_std, n_fusions=n_fusions, branch_deficits=UNEQUAL_BRANCHES
            )
            name = f"{n_fusions} fusion{'s' * (n_fusions > 1)}, seeds of SD {seed_std:g}"
            low = 0.55 if seed_std == 0.004 else 0.0
            yield Cell(table=table, name=name, study=study, rate="adds", low=low, high=1)


def run_cells(
    cells: Sequence[Cell], n_studies: int, n_workers: int, report: Callable[[str], None]
) -> dict[Cell, float]:
    """Simulate all situations, each study once even if several rates are counted in it.

    Parameters
    ----------
    cells : sequence of Cell
        The situations.
    n_studies : int
        Number of studies of each.
    n_workers : int
        Number of processes.
    report : callable
        Called with a line for each finished situation.

    Returns
    -------
    dict of Cell to float
        The rate of each.
    """
    studies = list(dict.fromkeys((cell.study, cell.metric) for cell in cells))
    rates: dict[tuple[StudySettings, str], Counts] = {}
    with ProcessPoolExecutor(n_workers) as pool:
        pending = {
            key: [
                pool.submit(_judge_studies, *key, range(start, min(start + CHUNK, n_studies)))
                for start in range(0, n_studies, CHUNK)
            ]
            for key in studies
        }
        for number, (key, chunks) in enumerate(pending.items(), 1):
            counts = [one for chunk in chunks for one in chunk.result()]
            rates[key] = {
                name: float(np.nanmean([one[name] for one in counts])) for name in counts[0]
            }
            for cell in cells:
                if (cell.study, cell.metric) == key:
                    rate = rates[key][cell.rate]
                    report(f"[{number}/{len(studies)}] {cell.table} | {cell.name}: {rate:.1%}")
    return {cell: rates[cell.study, cell.metric][cell.rate] for cell in cells}


def _judge_studies(study: StudySettings, metric: str, seeds: range) -> list[Counts]:
    return [judge_study(study, metric, seed) for seed in seeds]


def judge_rate(cell: Cell, rate: float, n_studies: int) -> str:
    """Say whether a simulated rate is in its accepted range.

    Parameters
    ----------
    cell : Cell
        The situation.
    rate : float
        Its rate.
    n_studies : int
        Number of studies that it was counted in.

    Returns
    -------
    str
        Empty if it is in the range; "within error" if it is not, but its 95 % interval (Wilson, J.
        Am. Stat. Assoc. 22, 1927) reaches the range; "outside" if that does not either.
    """
    if cell.low <= rate <= cell.high:
        return ""
    interval = binomtest(round(rate * n_studies), n_studies).proportion_ci(method="wilson")
    return "within error" if interval.low <= cell.high and interval.high >= cell.low else "outside"


def format_tables(rates: dict[Cell, float], n_studies: int) -> str:
    """Format the rates as Markdown, one table for each kind.

    Parameters
    ----------
    rates : dict of Cell to float
        The rate of each situation.
    n_studies : int
        Number of studies of each.

    Returns
    -------
    str
        The document.
    """
    lines = [
        "# Error rates of verdicts",
        "",
        f"Simulated by `make verdict-check`, {n_studies:,} studies for each line, with the "
        "functions that judge real batches. *Patients* are test patients; there are five seeds of "
        "each model, three branches, six fusions and both controls of each branch unless a line "
        "says otherwise. Studies with fewer than two effective patients have no interval and are "
        "not counted. With 1,000 studies a rate of 2.5 % is known to within 1.0 points, one of "
        "95 % to within 1.4: *within error* is "
        "a rate beside its accepted range whose interval reaches it.",
    ]
    for table in dict.fromkeys(cell.table for cell in rates):
        lines += ["", f"## {table}", "", "| situation | rate | accepted | |", "|---|---|---|---|"]
        for cell, rate in rates.items():
            if cell.table == table:
                word = judge_rate(cell, rate, n_studies)
                accepted = f"{cell.low:.1%} - {cell.high:.1%}"
                lines.append(f"| {cell.name} | {rate:.1%} | {accepted} | {word} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the simulation and write the tables.

    Returns
    -------
    int
        1 if a rate is outside of its accepted range by more than the error of simulation, else 0.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--studies", type=int, default=N_STUDIES, help="studies of each situation")
    parser.add_argument("--to", type=Path, default=DOCUMENT, help="file to write")
    options = parser.parse_args()
    start = time.perf_counter()
    cells = list_cells()
    rates = run_cells(
        cells, options.studies, os.cpu_count() or 1, lambda line: print(line, flush=True)
    )
    write_text(options.to, format_tables(rates, options.studies))
    print(f"{options.to} written after {time.perf_counter() - start:.0f} s")
    words = [judge_rate(cell, rate, options.studies) for cell, rate in rates.items()]
    return int("outside" in words)


if __name__ == "__main__":
    raise SystemExit(main())
