"""The folders that a comparison is made of: runs, and predictions of other frameworks.

``runs/<batch>/<run>/`` holds experiment.json, contract.json, model.keras, history.csv,
predictions.npz and metrics.json; a batch adds the executed notebook. A baseline of trees has
trees.json, its settings and inputs, in place of model.keras. The folder is written under a
temporary name and renamed, metrics.json last: a folder without it is not a run. Predictions that
were entered (`ecglib.runs.entry`) have a folder beside those of the runs.

experiment.json also holds the environment of the training and the hash of each file. A file is
compared with its hash before it is used, so that a damaged or edited run is noticed.
"""

from ecglib.runs.entry import Entry, EntryDetails, write_entry
from ecglib.runs.files import (
    EXPERIMENT,
    FILES,
    FORMAT,
    METRICS,
    MODEL,
    NOTEBOOK,
    REPORT,
    SPLITS,
    TREES,
    read_arrays,
    run_exists,
)
from ecglib.runs.finding import (
    find_newest_batch,
    find_run_path,
    find_runs,
    find_runs_of_other_seeds,
    open_run,
)
from ecglib.runs.folder import ContestantFolder
from ecglib.runs.run import Run, require_run
from ecglib.runs.writing import Result, write_description, write_run

__all__ = [
    "EXPERIMENT",
    "FILES",
    "FORMAT",
    "METRICS",
    "MODEL",
    "NOTEBOOK",
    "REPORT",
    "SPLITS",
    "TREES",
    "ContestantFolder",
    "Entry",
    "EntryDetails",
    "Result",
    "Run",
    "find_newest_batch",
    "find_run_path",
    "find_runs",
    "find_runs_of_other_seeds",
    "open_run",
    "read_arrays",
    "require_run",
    "run_exists",
    "write_description",
    "write_entry",
    "write_run",
]
