"""The windows that take part in a task."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecglib.datasets.schema import Task
from ecglib.splits import PARTS


@dataclasses.dataclass
class Selection:
    """The windows that take part in a task, their labels and their splits.

    Parameters
    ----------
    task : Task
        The task.
    classes : list of str
        Names of the classes, in the order of the columns of `y`.
    rows : int array of shape (n_windows,)
        Rows of the window table.
    y : float32 array of shape (n_windows, n_classes)
        Labels, 0 or 1: multi-hot or, in a multi-class task, one-hot.
    part : str array of shape (n_windows,)
        Split of each window: train, validation or test.
    patients : str array of shape (n_windows,)
        Patient of each window.
    records : str array of shape (n_windows,)
        Record of each window.
    tabular : float32 array of shape (n_windows, n_columns)
        The tabular values that were asked for, NaN where one is missing.

    Examples
    --------
    >>> selection = Selection(
    ...     task=Task("af", "multi_label", {"AF": ["AF"]}),
    ...     classes=["AF"],
    ...     rows=np.array([0, 1, 2]),
    ...     y=np.array([[1.0], [0.0], [1.0]], np.float32),
    ...     part=np.array(["train", "train", "test"]),
    ...     patients=np.array(["p1", "p2", "p3"]),
    ...     records=np.array(["r1", "r2", "r3"]),
    ...     tabular=np.zeros((3, 0), np.float32),
    ... )
    >>> selection.in_split("train").rows.tolist()
    [0, 1]
    >>> selection.count_windows().loc["AF"].to_dict()
    {'train': 1, 'validation': 0, 'test': 1}
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
        """Return the windows of one split, in the order of the window table.

        Parameters
        ----------
        split : str
            ``"train"``, ``"validation"`` or ``"test"``.

        Returns
        -------
        Selection
            The windows of that split.
        """
        return self.take(self.part == split)

    def take(self, which: np.ndarray | Sequence[int] | slice) -> "Selection":
        """Return some of the windows.

        Parameters
        ----------
        which : array, sequence of int or slice
            A mask of shape (n_windows,), indices, or a slice.

        Returns
        -------
        Selection
            The chosen windows.
        """
        return dataclasses.replace(
            self,
            rows=self.rows[which],
            y=self.y[which],
            part=self.part[which],
            patients=self.patients[which],
            records=self.records[which],
            tabular=self.tabular[which],
        )

    def count_windows(self) -> pd.DataFrame:
        """Count the windows of each class in each split.

        Returns
        -------
        DataFrame
            Classes as rows, splits as columns.
        """
        counts = {split: self.y[self.part == split].sum(axis=0).astype(int) for split in PARTS}
        return pd.DataFrame(counts, index=pd.Index(self.classes, name="class"))
