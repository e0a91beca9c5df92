"""Draw the picture of the README: ``python docs/pictures/draw.py runs/<batch>``.

The batch is that of ``make benchmark``.
"""

import sys
from pathlib import Path

import ecglib
from ecglib.batch.state import read_settings
from ecglib.plots.pictures import draw_verdicts

if __name__ == "__main__":
    settings = read_settings(Path(sys.argv[1]))
    comparison = ecglib.compare(
        ecglib.find_runs(sys.argv[1]), metric=settings.metric, margin=settings.margin
    )
    picture = Path(__file__).with_name("verdict.svg")
    picture.write_text(draw_verdicts(comparison, "verdict").svg + "\n")
    print(picture, comparison.headline)
