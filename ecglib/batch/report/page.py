"""The HTML page of a report, laid out by a template."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jinja2

from ecglib.batch.report.evidence import list_cards, list_evidence
from ecglib.batch.report.glossary import GLOSSARY
from ecglib.batch.report.parts import Section, Table, add_breaks, split_interval
from ecglib.batch.report.trainings import list_trainings
from ecglib.evaluation.comparison import Comparison
from ecglib.evaluation.metrics import METRIC_NAMES
from ecglib.plots import Picture, clean_text, draw_verdicts, use_svg_style
from ecglib.runs import ContestantFolder

TEMPLATES = Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """What a report contains.

    Parameters
    ----------
    title : str
        Name of the batch.
    finished : str
        When the last run was finished; "" if it is not known.
    version : str
        Version of this package.
    sections : tuple of Section
        One for each comparison.

    Examples
    --------
    >>> Page(title="fusion", finished="2026-11-28", version="0.1.0", sections=()).title
    'fusion'
    """

    title: str
    finished: str
    version: str
    sections: tuple[Section, ...]


def build_section(
    comparison: Comparison, runs: Sequence[ContestantFolder], folder: Path, name: str
) -> Section:
    """Build the section of one comparison.

    Parameters
    ----------
    comparison : Comparison
        The comparison.
    runs : sequence of Run or Entry
        The runs that were compared; may be empty, if they are not at hand.
    folder : Path
        Folder of the report.
    name : str
        Name of the section on the page, of letters and digits.

    Returns
    -------
    Section
        With all tables and figures.

    Examples
    --------
    >>> from ecglib.evaluation import compare_contestants
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=40, n_seeds=1, n_fusions=1), seed=0)
    >>> section = build_section(compare_contestants(study), [], Path("runs"), "s1")
    >>> section.headline
    'Cannot tell whether a fusion helps: 1 seed'
    """
    with use_svg_style():
        return Section(
            headline=comparison.headline,
            facts=(
                comparison.dataset,
                f"task {comparison.task}",
                comparison.describe_split(),
                f"{METRIC_NAMES[comparison.metric]}, margin {comparison.margin:g}",
            ),
            caveats=comparison.caveats,
            cards=list_cards(comparison),
            picture=draw_verdicts(comparison, f"{name}-verdicts"),
            checks=comparison.checks,
            blocks=(
                *list_evidence(comparison, name),
                *list_trainings(comparison, runs, folder, name),
            ),
        )


def render_page(page: Page) -> str:
    """Render the report as HTML.

    Parameters
    ----------
    page : Page
        What it contains.

    Returns
    -------
    str
        The page, which loads nothing from elsewhere. All text is escaped.

    Examples
    --------
    >>> html = render_page(Page(title="<b>", finished="", version="0.1.0", sections=()))
    >>> "<h1>&lt;b&gt;</h1>" in html
    True
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["add_breaks"] = add_breaks
    environment.filters["split_interval"] = split_interval
    environment.tests["table"] = lambda item: isinstance(item, Table)
    environment.tests["picture"] = lambda item: isinstance(item, Picture)
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    template = environment.get_template("report.html.jinja")
    return clean_text(template.render(page=page, glossary=GLOSSARY, style=style))
