"""Probabilities and decisions of a run for records in arrays or files."""

import ecglib._keras  # noqa: F401

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ecglib._display import Displayed
from ecglib.datasets.options import Accepted, convert_value
from ecglib.datasets.schema import Problem
from ecglib.errors import DatasetError
from ecglib.evaluation.metrics import decide
from ecglib.experiment.contract import Contract
from ecglib.inference.arrays import (
    Records,
    list_paths,
    name_arrays,
    read_array_windows,
    require_arrays,
)
from ecglib.inference.converters import BATCH_SIZE, unpack_single
from ecglib.inference.export import build_run_model
from ecglib.inference.options import RecordOptions
from ecglib.inference.records import (
    Window,
    check_tabular_values,
    compute_tabular,
    find_records,
    read_windows,
)
from ecglib.runs import Run, require_run

N_REPEATS = 20  # of a measured time
MAX_SHOWN = 20  # windows, and refused records, in the text of predictions

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PredictedRecords(Displayed):
    """What a run predicts for records.

    Parameters
    ----------
    contract : Contract
        Contract of the run: classes, thresholds, caveats.
    windows : list of Window
        The windows that were predicted; without their samples, unless they were asked for.
    p : float32 array of shape (n_windows, n_classes)
        Calibrated probabilities.
    decisions : bool array of shape (n_windows, n_classes)
        Decisions by the stored thresholds.
    refused : list of Problem
        Records that do not fit the contract, and why.
    duration_s : float
        Time that it took, reading included, in s.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> from ecglib.experiment import Processing
    >>> contract = Contract(
    ...     dataset="synthetic",
    ...     fingerprint="0123",
    ...     task="rhythm",
    ...     kind="multi_label",
    ...     classes=("N", "AF"),
    ...     part_column="part",
    ...     signal=SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=("II",)),
    ...     processing=Processing(
    ...         band_hz=(0.5, 40.0),
    ...         notch_hz=0.0,
    ...         denoise=False,
    ...         representations=("time",),
    ...         representation_options={},
    ...         crop_s=0.0,
    ...         crop_hop_s=0.0,
    ...         crop_aggregation="mean",
    ...     ),
    ...     calibration_scale=(1.0, 1.0),
    ...     calibration_bias=(0.0, 0.0),
    ...     thresholds=(0.5, 0.5),
    ...     caveats=("synthetic data",),
    ... )
    >>> predicted = PredictedRecords(
    ...     contract=contract,
    ...     windows=[Window(record="a", start_s=0.0, steps=np.zeros((1000, 1), np.int16))],
    ...     p=np.array([[0.25, 0.75]], np.float32),
    ...     decisions=np.array([[False, True]]),
    ...     refused=[Problem("b", "missing_lead", "There is no lead II.")],
    ...     duration_s=0.5,
    ... )
    >>> predicted.list_decisions(0), predicted.records_per_s
    (['AF'], 4.0)
    >>> predicted.to_table()[["record", "decision", "refused"]].values.tolist()
    [['a', 'AF', ''], ['b', '', 'There is no lead II.']]
    """

    contract: Contract
    windows: list[Window]
    p: np.ndarray
    decisions: np.ndarray
    refused: list[Problem]
    duration_s: float

    def __repr__(self) -> str:
        contract, caveats = self.contract, "; ".join(self.caveats)
        lines = [
            f"PredictedRecords(task {contract.task} of {contract.dataset}: {len(self.windows):,} "
            f"windows, {len(self.refused):,} records refused{f'; {caveats}' if caveats else ''})"
        ]
        for row, window in enumerate(self.windows[:MAX_SHOWN]):
            probabilities = self._get_probabilities(row).items()
            numbers = ", ".join(f"{name} {p:.3f}" for name, p in probabilities)
            decided = ", ".join(self.list_decisions(row)) or "none"
            lines.append(f"  {window.record} from {window.start_s:g} s: {decided}  ({numbers})")
        lines += [f"  refused: {one.record}: {one.detail}" for one in self.refused[:MAX_SHOWN]]
        if max(len(self.windows), len(self.refused)) > MAX_SHOWN:
            lines.append("  ...")
        return "\n".join(lines)

    @property
    def caveats(self) -> tuple[str, ...]:
        """Shown with every one of these numbers."""
        return self.contract.caveats

    @property
    def records_per_s(self) -> float:
        """Number of records, refused ones included, read and predicted in a second."""
        names = {window.record for window in self.windows}
        names |= {problem.record for problem in self.refused}
        return len(names) / self.duration_s

    def list_decisions(self, row: int) -> list[str]:
        """List the predicted classes of a window.

        Parameters
        ----------
        row : int
            Position of the window in `windows`.
        """
        pairs = zip(self.contract.classes, self.decisions[row], strict=True)
        return [name for name, decided in pairs if decided]

    def to_table(self) -> pd.DataFrame:
        """Return a table with one row for each window, then one for each refused record.

        Returns
        -------
        DataFrame
            Columns record, start_s, p_<class> for each class, decision (classes separated by
            ``;``), problems, refused (why) and caveats.
        """
        caveats = "; ".join(self.caveats)
        rows: list[dict[str, Any]] = []
        for row, window in enumerate(self.windows):
            probabilities = self._get_probabilities(row)
            rows.append(
                {
                    "record": window.record,
                    "start_s": window.start_s,
                    **{f"p_{name}": p for name, p in probabilities.items()},
                    "decision": ";".join(self.list_decisions(row)),
                    "problems": "; ".join(window.problems),
                    "refused": "",
                    "caveats": caveats,
                }
            )
        for problem in self.refused:
            rows.append({"record": problem.record, "refused": problem.detail, "caveats": caveats})
        columns = ["record", "start_s"]
        columns += [f"p_{name}" for name in self.contract.classes]
        columns += ["decision", "problems", "refused", "caveats"]
        return pd.DataFrame(rows, columns=columns).fillna({"decision": "", "problems": ""})

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain values, for JSON."""
        contract = self.contract
        return {
            "dataset": contract.dataset,
            "task": contract.task,
            "kind": contract.kind,
            "classes": list(contract.classes),
            "thresholds": list(contract.thresholds),
            "caveats": list(contract.caveats),
            "predictions": [
                {
                    "record": window.record,
                    "start_s": window.start_s,
                    "probabilities": self._get_probabilities(row),
                    "decisions": self.list_decisions(row),
                    "problems": list(window.problems),
                }
                for row, window in enumerate(self.windows)
            ],
            "refused": [
                {"record": problem.record, "kind": problem.kind, "why": problem.detail}
                for problem in self.refused
            ],
            "records_per_s": self.records_per_s,
        }

    def _get_probabilities(self, row: int) -> dict[str, float]:
        return dict(zip(self.contract.classes, self.p[row].tolist(), strict=True))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """How long the prediction of one record takes.

    Parameters
    ----------
    record_s : float
        Median time from the file to the probabilities, in s.
    model_s : float
        Median time of the model alone, in s.

    Examples
    --------
    >>> Latency(record_s=0.004, model_s=0.003).model_s
    0.003
    """

    record_s: float
    model_s: float


class Predictor:
    """Predict records with a run.

    Parameters
    ----------
    run : Run
        The run.

    Attributes
    ----------
    contract : Contract
        Contract of the run.
    tabular_columns : tuple of str
        The tabular values that the model uses, in order.
    model : keras.Model
        From mV to calibrated probabilities (`build_run_model`).

    Raises
    ------
    RunError
        If no run is given, or it is a baseline, whose trees are not saved.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib import prepare, train
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     settings = {"task": "superdiagnostic", "branches": {"frequency": "mlp"}, "epochs": 1}
    ...     run = train(dataset, batch=folder, **settings)
    ...     predictor = Predictor(run)
    ...     signals = dataset.read(np.array([0]))
    >>> predicted = predictor.predict(
    ...     signals, sampling_rate_hz=100.0, leads=dataset.signal.leads
    ... )
    >>> predicted.p.shape, predicted.refused, predicted.caveats
    ((1, 5), [], ('synthetic data',))
    >>> predicted.to_table().columns.tolist()[:4]
    ['record', 'start_s', 'p_NORM', 'p_MI']
    """

    def __init__(self, run: Run):
        self.contract = require_run(run).contract
        self.tabular_columns = run.contract.processing.tabular_columns
        self.model = build_run_model(run)
        # After two batch sizes TensorFlow does not trace a third.
        for n in (1, 2):
            zeros = [np.zeros((n, *x.shape[1:]), np.float32) for x in self.model.inputs]
            self._compute_probabilities(zeros)

    def predict(
        self,
        records: Records,
        *,
        sampling_rate_hz: float = 0.0,
        leads: Sequence[str] = (),
        names: Sequence[str] = (),
        options: RecordOptions | None = None,
        keep_signal: bool = False,
    ) -> PredictedRecords:
        """Predict records in files, or recordings that are arrays.

        Both are treated alike: leads are matched by name, the signal is resampled, the middle of a
        longer recording is taken, and what does not fit is refused.

        Parameters
        ----------
        records : str, Path, array, or sequence of one of them
            A record (WFDB, CSV, EDF or NumPy file) or a folder of records; or an array of shape
            (n_records, n_samples, n_leads) or (n_samples, n_leads), NaN where nothing was measured.
            The recordings of a sequence may differ in length.
        sampling_rate_hz : float, default 0.0
            Sampling rate of arrays, and of CSV and NumPy files, in Hz.
        leads : sequence of str, default ()
            Names of the columns of arrays and NumPy files, in order, such as ``["I", "II"]``.
        names : sequence of str, default ()
            Name of each recording that is an array; by default ``signals[0]`` and so on.
        options : RecordOptions, optional
            Unit (arrays: mV by default), starts of the windows, padding, tabular values.
        keep_signal : bool, default False
            Whether the result has the samples of the windows, to draw them.

        Returns
        -------
        PredictedRecords
            Probabilities and decisions, and the records that were refused.

        Raises
        ------
        DatasetError
            If a path does not exist, a folder holds no record, arrays come without sampling rate
            and leads or have another number of leads, the options name others, or the model does
            not use one of the tabular values.
        """
        complete = _complete_options(options or RecordOptions(), sampling_rate_hz, leads)
        check_tabular_values(complete.values, self.tabular_columns)
        signal = self.contract.signal
        if (paths := list_paths(records)) is not None:
            if names:
                raise DatasetError("names are given with files, which have names. Leave them out.")
            return self.predict_windows(read_windows(paths, signal, complete), keep_signal)
        signals = require_arrays(records, complete)
        complete = dataclasses.replace(complete, unit=complete.unit or "mV")
        arrays = name_arrays(signals, len(complete.leads), names)
        return self.predict_windows(read_array_windows(arrays, signal, complete), keep_signal)

    def predict_windows(
        self, windows: Iterable[Window | Problem], keep_signal: bool = False
    ) -> PredictedRecords:
        """Predict windows, batch by batch: memory does not grow with their samples.

        Parameters
        ----------
        windows : iterable of Window or Problem
            Windows as `read_windows` or `read_stored_windows` yields them.
        keep_signal : bool, default False
            Whether the result has the samples of the windows, to draw them.

        Returns
        -------
        PredictedRecords
            Probabilities and decisions.

        Raises
        ------
        DatasetError
            If an item is neither a window nor a problem.
        """
        started = time.perf_counter()
        predicted: list[Window] = []
        refused: list[Problem] = []
        probabilities = [np.empty((0, len(self.contract.classes)), np.float32)]
        no_samples = np.empty((0, len(self.contract.signal.leads)), np.int16)
        for batch in _split_into_batches(windows, BATCH_SIZE):
            _check_windows(batch)
            batch_windows = [item for item in batch if isinstance(item, Window)]
            refused += [item for item in batch if isinstance(item, Problem)]
            if batch_windows:
                inputs = self._build_inputs(batch_windows)
                probabilities.append(self._compute_probabilities(inputs))
            if not keep_signal:
                batch_windows = [dataclasses.replace(w, steps=no_samples) for w in batch_windows]
            predicted += batch_windows
        p = np.concatenate(probabilities)
        decisions = np.empty(p.shape, bool)
        if len(p):
            decisions = decide(p, self.contract.thresholds, self.contract.kind)
        return PredictedRecords(
            contract=self.contract,
            windows=predicted,
            p=p,
            decisions=decisions,
            refused=refused,
            duration_s=time.perf_counter() - started,
        )

    def measure_latency(
        self, paths: Sequence[str | Path], options: RecordOptions | None = None
    ) -> Latency:
        """Measure how long the first record that can be predicted takes, over 20 repeats.

        Parameters
        ----------
        paths : sequence of str or Path
            Records and folders, as for `find_records`.
        options : RecordOptions, optional
            What the files do not say.

        Returns
        -------
        Latency
            Median times.

        Raises
        ------
        DatasetError
            If there is no such record, or for what `predict` raises it.
        """
        for path in find_records(paths):
            if windows := self._read_first_window(path, options):
                return self._measure(path, options, windows)
        examples = ", ".join(map(str, paths[:5]))
        raise DatasetError(f"None of the records can be predicted: {examples}. `predict` says why.")

    def _measure(self, path: Path, options: RecordOptions | None, windows: list[Window]) -> Latency:
        inputs = self._build_inputs(windows)
        return Latency(
            record_s=_measure_median_s(
                lambda: self.predict_windows(self._read_first_window(path, options))
            ),
            model_s=_measure_median_s(lambda: self._compute_probabilities(inputs)),
        )

    def _read_first_window(self, path: Path, options: RecordOptions | None) -> list[Window]:
        """Read the first window of a record: a list of one, or of none."""
        windows = (w for w in self._read_windows([path], options) if isinstance(w, Window))
        return list(itertools.islice(windows, 1))

    def _read_windows(
        self, paths: Sequence[str | Path], options: RecordOptions | None
    ) -> Iterator[Window | Problem]:
        options = options or RecordOptions()
        check_tabular_values(options.values, self.tabular_columns)
        return read_windows(paths, self.contract.signal, options)

    def _build_inputs(self, windows: Sequence[Window]) -> list[np.ndarray]:
        inputs = [np.stack([window.signal_mv for window in windows])]
        if columns := self.tabular_columns:
            signal = self.contract.signal
            inputs.append(np.stack([compute_tabular(w, columns, signal) for w in windows]))
        return inputs

    def _compute_probabilities(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.asarray(self.model.predict_on_batch(unpack_single(inputs)))


def _complete_options(
    options: RecordOptions, sampling_rate_hz: float, leads: Sequence[str]
) -> RecordOptions:
    """Add sampling rate and leads to the options; refuse options that contradict them."""
    given = {
        "sampling_rate_hz": convert_value(
            "sampling_rate_hz", sampling_rate_hz, float, Accepted(minimum=0)
        ),
        "leads": convert_value("leads", leads, tuple[str, ...]),
    }
    for name, value in given.items():
        if (other := getattr(options, name)) and value and other != value:
            raise DatasetError(
                f"{name}={value!r}, but the options say {other!r}. Leave it out of the options."
            )
    return dataclasses.replace(
        options, **{name: value or getattr(options, name) for name, value in given.items()}
    )


def _check_windows(items: Sequence[object]) -> None:
    for item in items:
        if not isinstance(item, Window | Problem):
            raise DatasetError(
                f"An item is {type(item).__name__}, expected a Window. For arrays in mV and for "
                f"files use predict."
            )


def _split_into_batches(items: Iterable[Item], n: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, n)):
        yield batch


def _measure_median_s(function: Callable[[], object]) -> float:
    """Call a function once unmeasured, then `N_REPEATS` times."""
    seconds = []
    for _ in range(N_REPEATS + 1):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])
