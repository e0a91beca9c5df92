"""The result of a comparison in at most twelve words."""

from collections.abc import Sequence

from ecglib.evaluation.pairs import BETTER, WORSE, PairComparison
from ecglib.evaluation.rivals import SINGLE
from ecglib.evaluation.rules import MIN_SEEDS
from ecglib.evaluation.verdict import (
    ADDS,
    ADDS_LITTLE,
    CANNOT_COMPARE,
    CANNOT_MEASURE,
    CANNOT_TELL,
    Verdict,
)


def write_headline(
    verdicts: Sequence[Verdict],
    pairs: Sequence[PairComparison],
    entered: Sequence[PairComparison],
) -> str:
    """Write what a comparison found in at most twelve words.

    Parameters
    ----------
    verdicts : sequence of Verdict
        What each fusion adds, from the largest gain over the best branch to the smallest.
    pairs : sequence of PairComparison
        How the network that is best on validation compares with the others, without fusions.
    entered : sequence of PairComparison
        How each model that was entered compares with the others.

    Returns
    -------
    str
        For example "No fusion helped".

    Examples
    --------
    >>> write_headline([], [], [])
    'No fusion to judge'
    """
    if verdicts:
        return _summarize_verdicts(verdicts)
    if pairs:
        return _summarize_pairs(pairs)
    return _summarize_entered(entered) if entered else "No fusion to judge"


def _summarize_verdicts(verdicts: Sequence[Verdict]) -> str:
    helping = [one for one in verdicts if one.word in (ADDS, ADDS_LITTLE)]
    if helping:
        others = f" (and {len(helping) - 1} more)" if len(helping) > 1 else ""
        best = helping[0].find_rival(SINGLE)
        numbers = best.difference.format() if best else ""
        return f"{_shorten_name(helping[0])} helps{others}: {numbers}"
    words = {one.word for one in verdicts}
    if words == {CANNOT_COMPARE}:
        return "Cannot compare: no branch was trained like the fusions"
    if words == {CANNOT_MEASURE}:
        return "Cannot be measured: too few patients decide the score"
    if words & {CANNOT_TELL, CANNOT_MEASURE, CANNOT_COMPARE}:
        n_seeds = min(one.n_seeds for one in verdicts)
        if n_seeds < MIN_SEEDS:
            plural = "s" if n_seeds > 1 else ""
            return f"Cannot tell whether a fusion helps: {n_seeds} seed{plural}"
        return "Cannot tell whether a fusion helps"
    return "No fusion helped"


def _summarize_pairs(pairs: Sequence[PairComparison]) -> str:
    best, words = pairs[0].model, {one.word for one in pairs}
    if WORSE in words:
        worse = next(one for one in pairs if one.word == WORSE)
        return f"{best}, best on validation, is worse than {worse.difference.name}"
    if words != {BETTER}:
        return f"Cannot tell which model is {'better' if len(pairs) == 1 else 'best'}"
    if len(pairs) == 1:
        difference = pairs[0].difference
        return f"{best} is better than {difference.name}: {difference.format()}"
    return f"{best} is better than the {len(pairs)} others"


def _summarize_entered(entered: Sequence[PairComparison]) -> str:
    words = [one.word for one in entered]
    if len(words) == 1 and words[0] in (BETTER, WORSE):
        (pair,) = entered
        return f"{pair.model} is {pair.word} than {pair.difference.name}"
    if not {BETTER, WORSE} & set(words):
        return f"Cannot tell which model is {'better' if len(words) == 1 else 'best'}"
    counts = f"{words.count(BETTER)} better, {words.count(WORSE)} worse"
    return f"Entered models against others: {counts} of {len(words)}"


def _shorten_name(verdict: Verdict) -> str:
    """Shorten the name of a fusion of many branches to four words."""
    if len(verdict.fusion.split()) <= 3:
        return verdict.fusion
    return f"{verdict.fusion.partition('(')[0]} of {len(verdict.branches)} branches"
