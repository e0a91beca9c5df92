"""Carry out the pointing test on the runs of a batch, for the results page.

``python -m docs.results.pointing_test BATCH --made-by COMMAND``, where BATCH is the folder of a
batch on a simulated dataset. ``docs/results/pointing/DATASET.json`` holds the rows that
`ecglib.explain.measure_pointing` returns, the commands and the versions.
``docs/generate/pointing.py`` makes tables of it for the page ``docs/results.md``.
"""

import argparse
from pathlib import Path
from typing import cast

from ecglib import paths
from ecglib.datasets import open_dataset, open_source
from ecglib.datasets.sources.synthetic import SimulatedSource
from ecglib.explain.pointing_runs import MAX_WINDOWS, N_SAMPLES, N_STEPS, measure_pointing
from ecglib.paths import write_json
from ecglib.runs import Run, find_runs

RESULTS = Path(__file__).parent / "pointing"


def main() -> None:
    """Carry out the test on the batch that the command line names."""
    parser = argparse.ArgumentParser(description="Carry out the pointing test on a batch.")
    parser.add_argument("batch", type=Path, help="folder of the batch")
    parser.add_argument("--made-by", required=True, help="command that carried out the batch")
    parser.add_argument("--data-dir", default="", help="folder of the stores")
    parser.add_argument(
        "--windows", type=int, default=MAX_WINDOWS, help="windows of each run and class"
    )
    options = parser.parse_args()
    runs = [one for one in find_runs(options.batch) if isinstance(one, Run)]
    contract = runs[0].contract
    name = f"{contract.dataset}-{contract.fingerprint}"
    dataset = open_dataset(name, options.data_dir)
    source = open_source(
        dataset.name, paths.data_dir(options.data_dir), options=dataset.summary["options"]
    )
    table = measure_pointing(runs, dataset, cast(SimulatedSource, source), options.windows)
    windows = "" if options.windows == MAX_WINDOWS else f" --windows {options.windows}"
    made_by = f'--made-by "{options.made_by}"'
    commands = [
        options.made_by,
        f"python -m docs.results.pointing_test {options.batch.name}{windows} {made_by}",
    ]
    values = {
        "commands": commands,
        "versions": runs[0].environment.versions,
        "caveats": list(dataset.caveats),
        "dataset": dataset.name,
        "smoothgrad_samples": N_SAMPLES,
        "integration_steps": N_STEPS,
        "rows": table.to_dict("records"),
    }
    RESULTS.mkdir(exist_ok=True)
    write_json(RESULTS / f"{dataset.name}.json", values)
    print(RESULTS / f"{dataset.name}.json")


if __name__ == "__main__":
    main()
