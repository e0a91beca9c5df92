"""Add a comparison to the results page.

``python -m docs.results.add NAME BATCH --made-by COMMAND``, where BATCH is the folder of a batch.
``docs/results/NAME.json`` holds what ``ecglib compare BATCH --json`` prints, the commands that made
it, and the versions; ``docs/results/NAME-1.svg`` is the picture of the first comparison.
``docs/generate/results.py`` makes tables of it for the page ``docs/results.md``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecglib.batch.comparison import choose_settings, compare_batches
from ecglib.evaluation.comparison import Comparison
from ecglib.paths import write_json, write_text
from ecglib.plots.pictures import draw_verdicts
from ecglib.plots.svg import use_svg_style
from ecglib.runs import Run, find_runs

RESULTS = Path(__file__).parent


def write_result(
    folder: Path, name: str, comparisons: Sequence[Comparison], facts: dict[str, Any]
) -> None:
    """Write comparisons and their pictures.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    name : str
        Name of the result.
    comparisons : sequence of Comparison
        What the batch shows.
    facts : dict
        ``commands`` that made it, and ``versions``.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.evaluation import compare_contestants
    >>> from ecglib.evaluation.simulation import StudySettings, simulate_study
    >>> study = simulate_study(StudySettings(n_patients=40, n_seeds=1, n_fusions=1), seed=0)
    >>> with tempfile.TemporaryDirectory() as target:
    ...     write_result(Path(target), "study", [compare_contestants(study)], {"commands": []})
    ...     sorted(path.name for path in Path(target).iterdir())
    ['study-1.svg', 'study.json']
    """
    values = facts | {"comparisons": [comparison.to_dict() for comparison in comparisons]}
    write_json(folder / f"{name}.json", values)
    for number, comparison in enumerate(comparisons, start=1):
        with use_svg_style():  # the page has a light and a dark mode
            picture = draw_verdicts(comparison, f"{name}-{number}")
        write_text(folder / f"{name}-{number}.svg", picture.svg + "\n")


def main() -> None:
    """Add the result that the command line names."""
    parser = argparse.ArgumentParser(description="Add a comparison to the results page.")
    parser.add_argument("name", help="name of the result")
    parser.add_argument("batch", type=Path, help="folder of the batch")
    parser.add_argument("--made-by", required=True, help="command that carried out the batch")
    options = parser.parse_args()
    comparisons = compare_batches([options.batch], choose_settings([options.batch]))
    runs = [one for one in find_runs(options.batch) if isinstance(one, Run)]
    facts = {
        "commands": [options.made_by, f"ecglib compare {options.batch.name} --json"],
        "versions": runs[0].environment.versions,
    }
    write_result(RESULTS, options.name, comparisons, facts)
    print(RESULTS / f"{options.name}.json")


if __name__ == "__main__":
    main()
