"""A model's predictions on one split, together with the task they are of."""

from __future__ import annotations

import dataclasses

import numpy as np

from ecglib._display import Displayed
from ecglib.datasets.selection import Selection
from ecglib.errors import EcgError
from ecglib.evaluation.metrics import check_class_names, check_predictions

_ONE_PER_WINDOW = ("rows", "records", "patients", "folds")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Predictions(Displayed):
    """Labels and predicted probabilities of the windows of one split.

    Parameters
    ----------
    kind : {"multi_label", "multi_class"}
        Kind of the task.
    classes : tuple of str
        Names of the classes, in the order of the columns of `y` and `p`.
    rows : array of int, shape (n_windows,)
        Row of each window in the dataset's window table.
    records : array of str, shape (n_windows,)
        Record of each window.
    patients : array of str, shape (n_windows,)
        Patient of each window.
    y : array of shape (n_windows, n_classes)
        Labels, 0 or 1; one-hot in a multi-class task.
    p : array of shape (n_windows, n_classes)
        Predicted probabilities.
    folds : array of int, shape (n_windows,), optional
        In a cross-validation the fold of each window, whose model predicted it.

    Raises
    ------
    EcgError
        If the kind is unknown, the shapes do not fit together, the class names are not distinct,
        a label is neither 0 nor 1, or a probability is NaN or outside [0, 1].

    Examples
    --------
    >>> predictions = Predictions(
    ...     kind="multi_label",
    ...     classes=("NORM", "MI"),
    ...     rows=np.array([4, 7]),
    ...     records=np.array(["r1", "r2"]),
    ...     patients=np.array(["p1", "p1"]),
    ...     y=np.array([[1, 0], [0, 1]]),
    ...     p=np.array([[0.9, 0.2], [0.3, 0.6]]),
    ... )
    >>> predictions.n_windows, predictions.n_patients
    (2, 1)
    >>> predictions.replace_probabilities(np.full((2, 2), 0.5)).p.tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """

    kind: str
    classes: tuple[str, ...]
    rows: np.ndarray
    records: np.ndarray
    patients: np.ndarray
    y: np.ndarray
    p: np.ndarray
    folds: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_predictions(self.y, self.p, self.kind)
        check_class_names(self.classes, n_classes=np.shape(self.y)[1])
        for name in _ONE_PER_WINDOW:
            if name == "folds" and self.folds is None:
                continue
            shape = np.shape(getattr(self, name))
            if shape != (self.n_windows,):
                raise EcgError(
                    f"`{name}` has shape {shape}, but `y` has {self.n_windows} windows. Give one "
                    f"value for each window: shape ({self.n_windows},)."
                )

    def __repr__(self) -> str:
        return (
            f"Predictions({self.n_windows:,} windows of {self.n_patients:,} patients; "
            f"{self.kind} classes {', '.join(self.classes)})"
        )

    @classmethod
    def from_selection(cls, windows: Selection, p: np.ndarray) -> Predictions:
        """Join the windows of a selection with their predicted probabilities.

        Parameters
        ----------
        windows : Selection
            The windows of one split.
        p : array of shape (n_windows, n_classes)
            Predicted probabilities, in the order of the windows.

        Returns
        -------
        Predictions
            Labels and probabilities, with the task of the selection.

        Raises
        ------
        EcgError
            As for `Predictions`.
        """
        return cls(
            kind=windows.task.kind,
            classes=tuple(windows.classes),
            rows=windows.rows,
            records=windows.records,
            patients=windows.patients,
            y=windows.y,
            p=p,
        )

    @property
    def n_windows(self) -> int:
        """Number of windows."""
        return len(self.y)

    @property
    def n_patients(self) -> int:
        """Number of distinct patients."""
        return len(np.unique(self.patients))

    def replace_probabilities(self, p: np.ndarray) -> Predictions:
        """Return the predictions of the same windows with other probabilities.

        Parameters
        ----------
        p : array of shape (n_windows, n_classes)
            The new probabilities, such as calibrated ones.

        Returns
        -------
        Predictions
            A copy that shares all other arrays.

        Raises
        ------
        EcgError
            If `p` differs in shape from `y`, or is NaN or outside [0, 1] somewhere.
        """
        return dataclasses.replace(self, p=p)
