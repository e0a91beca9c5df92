"""Which of two models is better, as plain models.

Where there is no fusion to judge, the best network is compared with each other one. A model that
was entered from another framework is compared with every other model, whatever else there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecglib.evaluation.contestants import ENTERED, Contestant
from ecglib.evaluation.differences import Difference
from ecglib.evaluation.effective_patients import is_measurable
from ecglib.evaluation.metrics import METRIC_NAMES
from ecglib.evaluation.rules import ALPHA, MIN_SEEDS
from ecglib.evaluation.scoreboard import Scoreboard
from ecglib.evaluation.verdict import adjust_p_values

BETTER, WORSE, CANNOT_TELL = "better", "worse", "cannot tell"
NEEDED = f"an answer needs {MIN_SEEDS} of each model."


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """How one model compares with another.

    Parameters
    ----------
    model : str
        Name of the model.
    metric : str
        The score that is compared.
    difference : Difference
        Its score minus that of the other model, which the difference names.
    word : {"better", "worse", "cannot tell"}
        What is shown of the model.
    reason : str
        What limits the answer; may be empty.

    Examples
    --------
    >>> from ecglib.evaluation.variances import Variance
    >>> difference = Difference(
    ...     name="time:s4d", estimate=0.02, patients=Variance(1e-5, 60), seeds=(), cautious_seeds=()
    ... )
    >>> pair = PairComparison(
    ...     model="time:cnn", metric="auroc", difference=difference, word="better", reason=""
    ... )
    >>> pair.describe()
    'time:cnn is better than time:s4d: +0.020 [+0.014, +0.026] macro AUROC.'
    """

    model: str
    metric: str
    difference: Difference
    word: str
    reason: str

    def describe(self) -> str:
        """Describe in one sentence which model is better, with the difference and its interval.

        Returns
        -------
        str
            The sentence; a second one where something limits the answer.
        """
        numbers = f"{self.difference.format()} {METRIC_NAMES[self.metric]}"
        other = self.difference.name
        if self.word == CANNOT_TELL:
            text = f"Cannot tell which of {self.model} and {other} is better: {self.model} "
            text += f"differs by {numbers}."
        else:
            text = f"{self.model} is {self.word} than {other}: {numbers}."
        return f"{text} {self.reason}".rstrip()


def compare_pairs(
    models: Mapping[str, Sequence[Contestant]], scoreboard: Scoreboard, validation: Scoreboard
) -> list[PairComparison]:
    """Compare the model that is best on the validation split with each other one.

    Parameters
    ----------
    models : mapping of str to sequence of Contestant
        Name of each model -> its seeds; networks only.
    scoreboard, validation : Scoreboard
        The models, measured on the test and on the validation split.

    Returns
    -------
    list of PairComparison
        One for each other model.

    Notes
    -----
    The first model is chosen on the validation split, as the best of several test scores would be
    too good. "better" and "worse" have a two-sided p value of at most 5 %, adjusted over the pairs
    by the method of Holm, and at least five seeds of both models.

    Examples
    --------
    >>> from ecglib.evaluation.contestants import group_by_model
    >>> from ecglib.evaluation.scoreboard import measure_models
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> settings = StudySettings(
    ...     n_patients=300, n_fusions=0, has_controls=False, branch_deficits=(0.0, 0.1, 0.2)
    ... )
    >>> models = group_by_model(simulate_study(settings, seed=0))
    >>> test, validation = (
    ...     measure_models(models, "auroc", split) for split in ("test", "validation")
    ... )
    >>> [pair.word for pair in compare_pairs(models, test, validation)]
    ['better', 'better']
    """
    best = max(models, key=validation.score_oriented)
    return _judge_pairs([(best, name) for name in models if name != best], models, scoreboard)


def compare_entered(
    models: Mapping[str, Sequence[Contestant]], scoreboard: Scoreboard
) -> list[PairComparison]:
    """Compare each model that was entered from another framework with every other model.

    Parameters
    ----------
    models : mapping of str to sequence of Contestant
        Name of each model -> its seeds.
    scoreboard : Scoreboard
        The models, measured on the test split.

    Returns
    -------
    list of PairComparison
        One for each entered model and each other model, two entered models once; empty if none
        was entered.

    Notes
    -----
    As in `compare_pairs`, but no validation score chooses a model: an entered model may have been
    trained on the validation split. The p values are adjusted over these pairs alone, so that what
    is entered changes nothing that is said of the other models.

    Examples
    --------
    >>> import dataclasses
    >>> from ecglib.evaluation.contestants import group_by_model
    >>> from ecglib.evaluation.scoreboard import measure_models
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> settings = StudySettings(n_patients=40, n_seeds=2, n_fusions=0, has_controls=False)
    >>> first, *others = simulate_study(settings, seed=0)
    >>> entered = dataclasses.replace(first, name="resnet", role="entered", branches=("resnet",))
    >>> models = group_by_model([entered, first, *others])
    >>> pairs = compare_entered(models, measure_models(models, "auroc"))
    >>> [(pair.model, pair.difference.name) for pair in pairs]
    [('resnet', 'time:cnn'), ('resnet', 'frequency:cnn'), ('resnet', 'spectrogram:cnn2d')]
    """
    entered = [name for name, seeds in models.items() if seeds[0].role == ENTERED]
    pairs = [
        (name, other)
        for place, name in enumerate(entered)
        for other in models
        if other != name and other not in entered[:place]
    ]
    return _judge_pairs(pairs, models, scoreboard)


def _judge_pairs(
    pairs: Sequence[tuple[str, str]],
    models: Mapping[str, Sequence[Contestant]],
    scoreboard: Scoreboard,
) -> list[PairComparison]:
    """Judge pairs of models, with p values adjusted over all of them."""
    differences = [scoreboard.subtract(*pair) for pair in pairs]
    adjusted = adjust_p_values([one.compute_two_sided_p_value() for one in differences])
    judged = []
    for (model, other), difference, p in zip(pairs, differences, adjusted, strict=True):
        reason = _find_obstacle(models[model], models[other], scoreboard)
        word = CANNOT_TELL
        if not reason and p <= 2 * ALPHA:
            word = BETTER if difference.estimate > 0 else WORSE
        judged.append(
            PairComparison(
                model=model,
                metric=scoreboard.metric,
                difference=difference,
                word=word,
                reason=reason,
            )
        )
    return judged


def _find_obstacle(
    first: Sequence[Contestant], second: Sequence[Contestant], scoreboard: Scoreboard
) -> str:
    """Return why no test can answer; "" if one can."""
    if not is_measurable(scoreboard.effective_patients.total):
        return "Too few patients decide the score."
    n_seeds = min(len(first), len(second))
    if n_seeds < MIN_SEEDS:
        if max(len(first), len(second)) == 1:
            return f"1 seed of each, so the interval is over patients alone; {NEEDED}"
        return f"{n_seeds} seed{'s' if n_seeds > 1 else ''}; {NEEDED}"
    return ""
