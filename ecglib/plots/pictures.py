"""Figures of a comparison as SVG elements with alternative text, for reports and notebooks."""

import dataclasses

from ecglib.evaluation.comparison import RIVAL_TITLES, Comparison
from ecglib.evaluation.metrics import METRIC_NAMES
from ecglib.plots.svg import convert_to_svg
from ecglib.plots.verdicts import plot_scores, plot_verdicts

WIDTHS = {"wide": False, "narrow": True}  # width -> whether the panels are stacked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure as an SVG element.

    Parameters
    ----------
    caption : str
        What the figure shows.
    svg : str
        The element, with all text escaped (`ecglib.plots.convert_to_svg`).
    narrow_svg : str, default ""
        The same for narrow screens.

    Examples
    --------
    >>> Picture(caption="Scores", svg="<svg></svg>").narrow_svg
    ''
    """

    caption: str
    svg: str
    narrow_svg: str = ""


def draw_verdicts(comparison: Comparison, name: str) -> Picture:
    """Draw what each fusion adds; the scores of all models if there is no fusion to judge.

    Parameters
    ----------
    comparison : Comparison
        The comparison.
    name : str
        Name of the figure on the page.

    Returns
    -------
    Picture
        With a variant for narrow screens.

    Examples
    --------
    >>> from ecglib.evaluation import compare_contestants
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=40, n_seeds=1, n_fusions=1), seed=0)
    >>> draw_verdicts(compare_contestants(study), "v").svg[:4]
    '<svg'
    """
    rows = comparison.build_difference_rows()
    metric = METRIC_NAMES[comparison.metric]
    if not len(rows):
        return draw_scores(comparison, name)
    words = rows.drop_duplicates("fusion")
    description = (
        f"One row for each fusion, sorted by its gain over the best branch, in three columns: "
        f"{', '.join(RIVAL_TITLES.values())}. "
        + "; ".join(f"{row.fusion}: {row.word}" for row in words.itertuples())
        + ". The table of verdicts has the numbers."
    )
    wide, narrow = (
        convert_to_svg(
            plot_verdicts(rows, comparison.margin, metric, stacked=stacked),
            f"{name}-{width}",
            title="What each fusion adds",
            description=description,
        )
        for width, stacked in WIDTHS.items()
    )
    return Picture(caption=f"What each fusion adds in {metric}", svg=wide, narrow_svg=narrow)


def draw_scores(comparison: Comparison, name: str) -> Picture:
    """Draw the score of each model of a comparison.

    Parameters
    ----------
    comparison : Comparison
        The comparison.
    name : str
        Name of the figure on the page.

    Returns
    -------
    Picture
        With a variant for narrow screens.

    Examples
    --------
    >>> from ecglib.evaluation import compare_contestants
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=40, n_seeds=1, n_fusions=1), seed=0)
    >>> draw_scores(compare_contestants(study), "s").caption
    'macro AUROC of each model'
    """
    rows, metric = comparison.build_score_rows(), METRIC_NAMES[comparison.metric]
    title = f"{metric} of each model"
    wide, narrow = (
        convert_to_svg(
            plot_scores(rows, metric, stacked=stacked),
            f"{name}-{width}",
            title=title,
            description="One row for each model with its 95 % interval, best first; the table of "
            "scores has the numbers.",
        )
        for width, stacked in WIDTHS.items()
    )
    return Picture(caption=title, svg=wide, narrow_svg=narrow)
