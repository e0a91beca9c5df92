"""Which branch is best, and what each fusion really adds to it.

A fusion can win by averaging alone, so it is compared, patient resample by patient resample,
with the best single branch and with an ensemble of that branch that is as large as the fusion. It
can win by more parameters alone: where that branch was also run widened to the size of the
fusion, it is compared with that as well.
The best branch is chosen on the validation part, where few patients can choose badly: so a fusion
adds something only if it beats every other single branch as well.

The intervals hold for other patients and for these trained models. Seeds are averaged, not
resampled: that another training would give other models is not in the intervals yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecglib.errors import RunError
from ecglib.evaluation.contestants import Contestant, by_model, check_metric
from ecglib.evaluation.metrics import MACRO_METRICS
from ecglib.evaluation.resampling import interval, n_ignored
from ecglib.experiment.registry import SAME_SIZE_RATIO

__all__ = ["Contestant", "Difference", "Gap", "best_single", "differences", "sentence", "table"]

ADDS, ADDS_NOTHING, CANNOT_TELL = "adds", "adds nothing", "cannot tell"
METRIC_NAMES = {"auroc": "macro AUROC", "auprc": "macro AUPRC", "f1": "macro F1"}

# Without any effect all of five patients favour the fusion in 1 of 32 cases, more often than the
# 2.5 % that a 95 % interval allows above it; and then every resample does too.
FEWEST_PATIENTS = 6
# Resamples without an outcome of some class are left out; what remains of less than half of
# them says nothing about new patients.
LARGEST_SHARE_IGNORED = 0.5


@dataclass(frozen=True)
class Gap:
    """A model's metric minus that of what it is compared with, `name`, with its 95 % interval.

    What is `larger` than a fusion can only speak for the fusion.
    """

    name: str
    estimate: float
    low: float
    high: float
    n_ignored: int
    larger: bool = False

    def excludes(self, margin: float) -> bool:
        """Whether a gain of `margin` is excluded, over what is no larger than the fusion."""
        return self.high < margin and not self.larger


@dataclass(frozen=True)
class Difference:
    """What a fusion adds.

    `against_single` is the single branch that is best on the validation part, `unbeaten` are the
    other single branches that the fusion is not shown to beat. `against_ensemble` is None where
    the batch has no ensemble that can serve as control, `against_widened` where it has no widened
    branch of the size of the fusion. `notes` are whole sentences on what limits the verdict.
    """

    fusion: str
    branches: tuple[str, ...]
    metric: str
    margin: float
    against_single: Gap
    against_ensemble: Gap | None
    ensemble_size: int | None
    against_widened: Gap | None
    parameters: int
    widened_parameters: int | None
    unbeaten: tuple[Gap, ...]
    verdict: str
    notes: tuple[str, ...]
    caveats: tuple[str, ...]


def table(
    scored: Iterable[Contestant],
    metrics: Sequence[str] = MACRO_METRICS,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a model, scored on the test part.

    Columns: ``model``, ``role``, ``branches``, ``ensemble_size``, ``seeds``, ``parameters``; for each
    metric the mean over seeds of its macro value (``auroc``), its 95 % patient-bootstrap
    interval (``auroc_low``, ``auroc_high``), the standard deviation over seeds (``auroc_std``,
    nan for one seed), how many resamples could not be scored (``auroc_ignored``), and for each
    class the mean over seeds and its interval (``auroc:NORM``, ``auroc:NORM_low``,
    ``auroc:NORM_high``); then ``undefined``, ``never_predicted`` (by any of the seeds) and
    ``caveats``.

    Raises
    ------
    RunError
        If the models cannot be compared or a metric is unknown.
    """
    for metric in metrics:
        check_metric(metric)
    rows = [_row(seeds, metrics, n_resamples, seed) for seeds in by_model(scored).values()]
    return pd.DataFrame(rows)


def _row(seeds: list[Contestant], metrics: Sequence[str], n_resamples: int, seed: int) -> dict:
    one, results = seeds[0], [s.scores() for s in seeds]
    row = {
        "model": one.name,
        "role": one.role,
        "branches": " + ".join(one.branches),
        "ensemble_size": one.ensemble_size,
        "seeds": len(seeds),
        "parameters": round(np.mean([s.parameters for s in seeds])),
    }
    for metric in metrics:
        row |= _columns(seeds, results, metric, n_resamples, seed)
    for key in ("undefined", "never_predicted"):
        row[key] = ", ".join(c for c in one.classes if any(c in r[key] for r in results))
    row["caveats"] = "; ".join(caveats_of(seeds))
    return row


def _columns(
    seeds: list[Contestant], results: list[dict], metric: str, n_resamples: int, seed: int
) -> dict:
    values = [result["macro"][metric] for result in results]
    resampled = _resampled(seeds, metric, n_resamples, seed)
    low, high = interval(resampled)
    columns = {
        metric: float(np.mean(values)),
        f"{metric}_low": low,
        f"{metric}_high": high,
        f"{metric}_std": float(np.std(values, ddof=1)) if len(seeds) > 1 else float("nan"),
        f"{metric}_ignored": n_ignored(resampled),
    }
    by_class = np.mean([s.resampled(metric, n_resamples, seed) for s in seeds], axis=0)
    for k, name in enumerate(seeds[0].classes):
        of_class = [result["per_class"][name][metric] for result in results]
        low, high = interval(by_class[:, k])
        columns[f"{metric}:{name}"] = float(np.mean(of_class))
        columns |= {f"{metric}:{name}_low": low, f"{metric}:{name}_high": high}
    return columns


def best_single(scored: Iterable[Contestant], metric: str = "auroc") -> str:
    """Name of the single branch with the best macro score on the validation part.

    Seeds are averaged. Of equally good branches the smaller wins, then the first by name.

    Raises
    ------
    RunError
        If the models cannot be compared, if there is no single branch, or if one has no such
        validation score.
    """
    check_metric(metric)
    singles = [seeds for seeds in by_model(scored).values() if seeds[0].role == "single"]
    if not singles:
        raise RunError(
            "There is no single branch to compare with. Add runs of the fusion's branches, each "
            "alone, to the batch."
        )
    return min(singles, key=lambda s: (-_validation(s, metric), s[0].parameters, s[0].name))[0].name


def differences(
    scored: Iterable[Contestant],
    metric: str = "auroc",
    margin: float = 0.01,
    n_resamples: int = 1000,
    seed: int = 0,
) -> list[Difference]:
    """What every fusion adds to the best single branch, beyond what an ensemble of it adds.

    Each difference is the fusion's macro metric minus the other's, both averaged over their
    seeds and taken in the same patient resamples. The control is the ensemble of the best single
    branch with as many members as the fusion has branches, or else the next larger one. A second
    control is that branch widened to about as many parameters as the fusion has, or else the next
    larger one; without any, or where the branch is about as large itself, the verdict rests on the
    others.

    The verdict is "adds" if the 95 % intervals against the single branch and against the controls
    lie above zero, and that against every other single branch as well (no choice among the
    branches, so none that chance could make); "adds nothing" if one against the single branch or
    a control ends below `margin`, which excludes a gain worth having (a control larger than the
    fusion cannot show this); "cannot tell" otherwise, where there is no ensemble, where there are
    fewer than six patients, or where more than half of the resamples lack an outcome of some
    class.

    Parameters
    ----------
    scored : singles, fusions and controls, each with one or more seeds.
    metric : "auroc", "auprc" or "f1".
    margin : the smallest gain worth having, above zero.
    n_resamples, seed : see `patient_multiplicities`.

    Raises
    ------
    RunError
        If the models cannot be compared, if there is no single branch, or if `margin` is not
        above zero.
    """
    if not margin > 0:
        raise RunError(f"The smallest gain worth having is {margin}; expected e.g. 0.01.")
    models = by_model(scored)
    single = models[best_single([s for seeds in models.values() for s in seeds], metric)]
    result = []
    for fusion in models.values():
        if fusion[0].role == "fusion":
            result.append(_difference(fusion, single, models, metric, margin, n_resamples, seed))
    return result


def sentence(difference: Difference) -> str:
    """The difference in words: verdict, numbers, what limits them, and every caveat."""
    d = difference
    single, ensemble, widened = d.against_single, d.against_ensemble, d.against_widened
    who = d.fusion
    compared = {
        "the best single branch": single,
        "an equally large ensemble": ensemble,
        "the branch widened to its size": widened,
    }
    gaps = {rival: gap for rival, gap in compared.items() if gap is not None}
    rival = next((name for name, gap in gaps.items() if gap.excludes(d.margin)), "")
    small = any(gap.high < d.margin for gap in gaps.values())
    verdict = {
        ADDS: f"{who} adds something" + (f", but less than {d.margin:g}" if small else ""),
        ADDS_NOTHING: f"{who} adds nothing (a gain of {d.margin:g} over {rival} is excluded)",
        CANNOT_TELL: f"Whether {who} adds anything cannot be told",
    }[d.verdict]
    against = [f"{as_text(single)} from the best single branch ({single.name})"]
    if ensemble is not None:
        control = f"{d.ensemble_size} x {single.name} with other seeds"
        against.append(f"{as_text(ensemble)} from {control}")
    if widened is not None:
        sizes = f"{d.widened_parameters:,} parameters, the fusion has {d.parameters:,}"
        against.append(f"{as_text(widened)} from {widened.name} ({sizes})")
    text = f"{verdict}: its {METRIC_NAMES[d.metric]} differs by {' and by '.join(against)}"
    if d.unbeaten and d.verdict == CANNOT_TELL:
        rivals = " and ".join(f"{gap.name} ({as_text(gap)})" for gap in d.unbeaten)
        text += f"; it is not shown to beat {rivals}"
    return " ".join([f"{text}.", *d.notes, *as_sentences(d.caveats)])


def as_sentences(caveats: Iterable[str]) -> list[str]:
    """Each caveat as a sentence of its own."""
    return [f"{caveat[:1].upper()}{caveat[1:].rstrip('.')}." for caveat in caveats]


def _ensemble(
    fusion: list[Contestant], single: list[Contestant], models: dict[str, list[Contestant]]
) -> list[Contestant] | None:
    """The smallest ensemble of the single branch that is no smaller than the fusion."""
    candidates = [
        seeds
        for seeds in models.values()
        if seeds[0].role == "ensemble"
        and tuple(seeds[0].branches) == tuple(single[0].branches)
        and seeds[0].ensemble_size >= len(fusion[0].branches)
    ]
    return min(candidates, key=lambda s: (s[0].ensemble_size, s[0].name), default=None)


def _widened(
    fusion: list[Contestant], single: list[Contestant], models: dict[str, list[Contestant]]
) -> list[Contestant] | None:
    """The widened single branch nearest in size to the fusion, about as large as it or larger.

    None where the single branch is that itself.
    """
    if _times(single, fusion) >= 1 / SAME_SIZE_RATIO:
        return None
    candidates = [
        seeds
        for seeds in models.values()
        if seeds[0].role == "widened"
        and tuple(seeds[0].branches) == tuple(single[0].branches)
        and _times(seeds, fusion) >= 1 / SAME_SIZE_RATIO
    ]

    def distance(seeds):
        times = _times(seeds, fusion)
        return max(times, 1 / times), seeds[0].name

    return min(candidates, key=distance, default=None)


def _times(one: list[Contestant], fusion: list[Contestant]) -> float:
    """How many times the parameters of the fusion a model has."""
    return one[0].parameters / fusion[0].parameters


def _difference(
    fusion: list[Contestant],
    single: list[Contestant],
    models: dict[str, list[Contestant]],
    metric: str,
    margin: float,
    n_resamples: int,
    seed: int,
) -> Difference:
    ensemble, widened = _ensemble(fusion, single, models), _widened(fusion, single, models)
    others = [s for s in models.values() if s[0].role == "single" and s is not single]

    def gap(other, larger=False):
        return other and paired_gap(fusion, other, metric, n_resamples, seed, larger)

    unbeaten = tuple(found for found in map(gap, others) if not found.low > 0)
    against_single = gap(single)
    of_more = bool(ensemble) and ensemble[0].ensemble_size > len(fusion[0].branches)
    controls = (
        gap(ensemble, of_more),
        gap(widened, bool(widened) and _times(widened, fusion) > SAME_SIZE_RATIO),
    )
    doubts = _doubts(fusion[0], single[0], ensemble, against_single, n_resamples)
    verdict = CANNOT_TELL
    if not doubts:
        verdict = _verdict([against_single, *filter(None, controls)], unbeaten, margin)
    involved = [fusion, single, *filter(None, (ensemble, widened))]
    return Difference(
        fusion=fusion[0].name,
        branches=tuple(fusion[0].branches),
        metric=metric,
        margin=margin,
        against_single=against_single,
        against_ensemble=controls[0],
        ensemble_size=ensemble[0].ensemble_size if ensemble else None,
        against_widened=controls[1],
        parameters=fusion[0].parameters,
        widened_parameters=widened[0].parameters if widened else None,
        unbeaten=unbeaten,
        verdict=verdict,
        notes=(*doubts, *_notes(involved, *controls)),
        caveats=caveats_of(one for seeds in involved for one in seeds),
    )


def paired_gap(
    a: list[Contestant],
    b: list[Contestant],
    metric: str,
    n_resamples: int,
    seed: int,
    larger: bool = False,
) -> Gap:
    """The metric of `a` minus that of `b`, averaged over their seeds, in the same resamples."""
    resampled = _resampled(a, metric, n_resamples, seed) - _resampled(b, metric, n_resamples, seed)
    low, high = interval(resampled)
    estimate = _estimate(a, metric) - _estimate(b, metric)
    return Gap(b[0].name, estimate, low, high, n_ignored(resampled), larger)


def _verdict(gaps: list[Gap], unbeaten: tuple[Gap, ...], margin: float) -> str:
    """The verdict from the gaps to the best single branch and to each control."""
    # "adds" goes first: a gain that is certain but small is still one, and the numbers say so.
    if all(gap.low > 0 for gap in gaps) and not unbeaten:
        return ADDS
    if any(gap.excludes(margin) for gap in gaps):
        return ADDS_NOTHING
    return CANNOT_TELL


def _doubts(
    fusion: Contestant,
    single: Contestant,
    ensemble: list[Contestant] | None,
    gap: Gap,
    n_resamples: int,
) -> list[str]:
    """Reasons for which no verdict is given whatever the numbers are."""
    doubts = []
    if ensemble is None:
        doubts.append(
            f"There is no ensemble of {len(fusion.branches)} or more x {single.name} in the "
            "batch, so a gain by mere averaging cannot be told apart."
        )
    return doubts + too_few(fusion, gap, n_resamples)


def too_few(scored: Contestant, gap: Gap, n_resamples: int) -> list[str]:
    """What makes an interval of this test part say nothing, as whole sentences."""
    doubts = []
    n_patients = len(np.unique(scored.patients))
    if n_patients < FEWEST_PATIENTS:
        doubts.append(f"{n_patients} test patients are too few for an interval.")
    if gap.n_ignored > LARGEST_SHARE_IGNORED * n_resamples:
        doubts.append(
            f"{gap.n_ignored} of {n_resamples} resamples lack a class: too few patients have it."
        )
    return doubts


def _notes(
    involved: list[list[Contestant]], ensemble: Gap | None, widened: Gap | None
) -> list[str]:
    notes, fusion = [], involved[0][0]
    if len({branch.partition(":")[0] for branch in fusion.branches}) == 1:
        notes.append(
            "All its branches look at one view: what it adds comes from another encoder, not from "
            "another view."
        )
    if ensemble and ensemble.larger:
        notes.append(
            f"The ensemble is larger than the {len(fusion.branches)} branches: the batch has "
            "none of equal size."
        )
    if widened and widened.larger:
        notes.append("The widened branch is larger than the fusion: none was run at its size.")
    if min(map(len, involved)) == 1:
        notes.append("Not all models have several seeds, so chance in training is not averaged.")
    return notes


def _resampled(seeds: list[Contestant], metric: str, n_resamples: int, seed: int) -> np.ndarray:
    return np.mean([s.resampled_macro(metric, n_resamples, seed) for s in seeds], axis=0)


def _estimate(seeds: list[Contestant], metric: str) -> float:
    return float(np.mean([s.scores()["macro"][metric] for s in seeds]))


def _validation(seeds: list[Contestant], metric: str) -> float:
    values = [s.validation.get(metric, float("nan")) for s in seeds]
    if np.isnan(values).any():
        raise RunError(
            f"{seeds[0].name} has no {METRIC_NAMES[metric]} on the validation part for every "
            f"seed: {values}. The best branch is chosen there, never on the test part."
        )
    return float(np.mean(values))


def caveats_of(scored: Iterable[Contestant]) -> tuple[str, ...]:
    """Every caveat of these models, once."""
    return tuple(dict.fromkeys(caveat for one in scored for caveat in one.caveats))


def as_text(gap: Gap) -> str:
    """A difference with its interval."""
    # Adding zero turns a rounded -0.0 into 0.0.
    estimate, low, high = (round(value, 3) + 0.0 for value in (gap.estimate, gap.low, gap.high))
    return f"{estimate:+.3f} [{low:+.3f}, {high:+.3f}]"
