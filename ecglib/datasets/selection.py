"""The windows that take part in a task."""

import dataclasses

import numpy as np
import pandas as pd

from ecglib.datasets.schema import Task
from ecglib.splits import PARTS


@dataclasses.dataclass
class Selection:
    """The windows that take part in a task.

    `rows` index the window table; `y` has shape (n_windows, n_classes), multi-hot or one-hot;
    `part`, `patients` and `records` have shape (n_windows,); `tabular` (n_windows, n_columns), with
    the columns that were asked for.
    """

    task: Task
    classes: list[str]
    rows: np.ndarray
    y: np.ndarray
    part: np.ndarray
    patients: np.ndarray
    records: np.ndarray
    tabular: np.ndarray

    def in_split(self, split: str) -> "Selection":
        """The windows of one part, in the order of the window table."""
        return self.take(self.part == split)

    def take(self, which) -> "Selection":
        """Some of the windows: `which` is a mask, an index array or a slice."""
        names = ("rows", "y", "part", "patients", "records", "tabular")
        return dataclasses.replace(self, **{name: getattr(self, name)[which] for name in names})

    def counts(self) -> pd.DataFrame:
        """Windows of each class (rows) in each part (columns)."""
        counts = {p: self.y[self.part == p].sum(axis=0).astype(int) for p in PARTS}
        return pd.DataFrame(counts, index=pd.Index(self.classes, name="class"))
