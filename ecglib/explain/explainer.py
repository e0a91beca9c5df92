"""Explain what a run says about windows of its dataset or records in files."""

import ecglib._keras  # noqa: F401

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ecglib.datasets.store import Dataset
from ecglib.errors import DatasetError, EcgError, require_one_of
from ecglib.experiment.registry import TABULAR
from ecglib.explain.contributions import (
    BranchContributions,
    check_efficiency,
    compute_branch_contributions,
)
from ecglib.explain.explanation import ExplainedInput, Explanation
from ecglib.explain.fusion_weights import compute_fusion_weights
from ecglib.explain.methods import DEFAULT_METHOD, METHODS, check_attributions
from ecglib.explain.other_seeds import OtherSeeds, build_other_seeds
from ecglib.explain.record_windows import RecordWindow, find_stored_record, read_file_windows
from ecglib.explain.run_scores import SIGNAL, build_representation_scores, build_signal_scores
from ecglib.explain.scores import ClassScore, ScoreModel
from ecglib.explain.targets import (
    choose_class,
    compute_representations,
    cut_crops,
    make_representation_target,
    make_signal_target,
)
from ecglib.inference import (
    Predictor,
    RecordOptions,
    check_tabular_values,
    read_stored_windows,
)
from ecglib.models.end_to_end import build_processing
from ecglib.runs import Run, require_run

N_REFERENCE = 64  # windows of the validation split


class Explainer:
    """Explain what a run says about records.

    Parameters
    ----------
    run : Run
        The run of a network. Of a cross-validation, every fold is a run: the explanation is that
        of its model alone.
    dataset : Dataset, optional
        The store that it was trained on, for its records, and for windows of its validation split
        in the place of a branch that is left out. Without it, records come from files.

    Raises
    ------
    RunError
        If the run is a baseline, whose trees are not saved.

    Examples
    --------
    >>> from ecglib import open_dataset, open_run
    >>> explainer = Explainer(open_run(), open_dataset("mitdb"))  # doctest: +SKIP
    >>> explainer.explain(explainer.read_record("100")).failed  # doctest: +SKIP
    ()
    """

    def __init__(self, run: Run, dataset: Dataset | None = None):
        self.run = require_run(run)
        self.contract = run.contract
        self.dataset = dataset
        network = run.load_network()
        self.predictor = Predictor(run)
        self.processing = build_processing(self.contract.signal, self.contract.processing)
        self.signal_scores = build_signal_scores(self.contract, network, self.processing)
        self.representation_scores = build_representation_scores(
            self.contract, network, self.processing
        )
        self._reference: Mapping[str, np.ndarray] | None = None

    def read_record(
        self,
        record: str | Path,
        *,
        number: int = 0,
        class_name: str = "",
        options: RecordOptions | None = None,
    ) -> RecordWindow:
        """Read a window of a record.

        Parameters
        ----------
        record : str or Path
            A WFDB, CSV, EDF or NumPy file, or else the name of a record of the dataset.
        number : int, default 0
            Which of its windows, counted from 1. By default the one to which the run gives
            `class_name` the highest probability; without a class, the first.
        class_name : str, default ""
            The class that is to be explained.
        options : RecordOptions, optional
            What a file does not say.

        Returns
        -------
        RecordWindow
            The window.

        Raises
        ------
        DatasetError
            If there is no such file, record or window, or it does not fit the run.
        ExperimentError
            If the run has no such class.
        """
        if class_name:
            require_one_of("class", class_name, self.contract.classes)
        path, options = Path(record), options or RecordOptions()
        if path.exists() or path.with_name(f"{path.name}.hea").is_file():
            check_tabular_values(options.values, self.predictor.tabular_columns)
            windows = read_file_windows(self.contract, record, options)
            found = [RecordWindow(window=window) for window in windows]
        else:
            found = self._read_stored(str(record), options)
        return self._choose_window(found, number, class_name)

    def explain(
        self, given: RecordWindow, class_name: str = "", method: str = DEFAULT_METHOD
    ) -> Explanation:
        """Explain the score of a class for a window.

        Parameters
        ----------
        given : RecordWindow
            Of `read_record`.
        class_name : str, default ""
            The class; by default the predicted class with the highest calibrated probability or,
            if none is predicted, the class with the highest probability.
        method : str, default "integrated_gradients"
            A name in `METHODS`.

        Returns
        -------
        Explanation
            Attributions with their checks, and what each branch adds.

        Raises
        ------
        ExperimentError
            If the class or the method is unknown.
        """
        require_one_of("method", method, METHODS)
        contract, data, window = self.contract, self.run.data, given.window
        predicted = self.predictor.predict_windows([window])
        decisions = tuple(predicted.list_decisions(0))
        name = choose_class(contract, predicted.p[0], decisions, class_name)
        target = make_signal_target(contract, self.signal_scores, window, name)
        representations, crop_start_s = make_representation_target(
            contract, self.processing, self.representation_scores, self.signal_scores, target
        )
        shown = [
            key
            for key, one in representations.scores.inputs.items()
            if {"frequency", "column"} & {axis.name for axis in one.axes}
        ]
        seeds = self.other_seeds
        of_signal, of_representations = (
            [getattr(one, name) for one in seeds.models] for name in ("signal", "representations")
        )
        branches, branches_note = self._explain_branches(representations)
        return Explanation(
            run_name=self.run.path.name,
            model_name=self.run.experiment.model_name,
            contract=contract,
            fold=f"fold {data.fold} of {data.n_folds}" if data.n_folds else "",
            window=window,
            split=given.split,
            labels=given.labels,
            p=predicted.p[0],
            decisions=decisions,
            class_name=name,
            method=method,
            signal=_explain_inputs(target, [SIGNAL], method, of_signal)[0],
            representations=_explain_inputs(representations, shown, method, of_representations)
            if shown
            else (),
            crop_start_s=crop_start_s,
            branches=branches,
            branch_checks=(check_efficiency(branches),) if branches else (),
            branch_weights=compute_fusion_weights(representations) if branches else None,
            branches_note=branches_note,
            seeds_note=seeds.note,
        )

    def _read_stored(self, record: str, options: RecordOptions) -> list[RecordWindow]:
        """Read all windows of a record of the dataset."""
        if self.dataset is None:
            raise DatasetError(
                f"{record!r} is not a file, and the dataset {self.contract.dataset}-"
                f"{self.contract.fingerprint}, which could have a record of this name, was not "
                f"found. Give a file, or the folder of the stores (--data-dir)."
            )
        stored = find_stored_record(self.run, self.dataset, record)
        if options != RecordOptions():
            raise DatasetError(
                f"{record!r} is a record of {self.dataset.path.name}, which says its sampling "
                f"rate, unit, leads and values. Give them, and starts, for files only; a window of "
                f"the record is chosen by its number (--window)."
            )
        windows = read_stored_windows(self.dataset, stored.rows, self.predictor.tabular_columns)
        return [
            RecordWindow(window=window, split=split, labels=labels)
            for window, split, labels in zip(windows, stored.splits, stored.labels, strict=True)
        ]

    def _choose_window(
        self, found: list[RecordWindow], number: int, class_name: str
    ) -> RecordWindow:
        if number > len(found) or number < 0:
            raise DatasetError(
                f"Window {number} was asked for, and the record {found[0].window.record} has "
                f"{len(found):,}. Give a number from 1 to {len(found):,}."
            )
        if number or not class_name or len(found) == 1:
            return found[max(number, 1) - 1]
        p = self.predictor.predict_windows([one.window for one in found]).p
        return found[int(p[:, self.contract.classes.index(class_name)].argmax())]

    @functools.cached_property
    def other_seeds(self) -> OtherSeeds:
        """The runs with other seeds, with which explanations are compared; read once."""
        return build_other_seeds(
            self.run, self.processing, self.signal_scores, self.representation_scores
        )

    def _explain_branches(self, target: ClassScore) -> tuple[BranchContributions | None, str]:
        """Compute what each branch adds, or say why it cannot be said of this fusion."""
        if len(self.run.branch_names) < 2:
            return None, ""
        try:
            return compute_branch_contributions(target, self._read_reference()), ""
        except EcgError as error:  # an ensemble, or a fusion that takes more than the features
            return None, str(error)

    def _read_reference(self) -> Mapping[str, np.ndarray] | None:
        """Compute the representations of some windows of the validation split."""
        if self._reference is None and self.dataset is not None:
            rows = _choose(self.run.predictions("validation").rows)
            inputs = {SIGNAL: self.dataset.read(rows)}
            if columns := self.predictor.tabular_columns:
                inputs[TABULAR] = self.dataset.read_tabular(rows, columns)
            crops, _ = cut_crops(self.contract, self.signal_scores, inputs)
            which = _choose(np.arange(len(crops[SIGNAL])))
            found = compute_representations(
                self.processing, {name: x[which] for name, x in crops.items()}
            )
            self._reference = {name: found[name] for name in self.representation_scores.inputs}
        return self._reference


def _choose(rows: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(rows, min(N_REFERENCE, len(rows)), replace=False))


def _explain_inputs(
    target: ClassScore, names: list[str], method: str, other_seeds: Sequence[ScoreModel]
) -> tuple[ExplainedInput, ...]:
    found = METHODS[method](target)
    checked = [name for name in names if name != TABULAR]
    checks = check_attributions(target, found, checked, method, other_seeds)
    return tuple(
        ExplainedInput(
            values=target.inputs[name][0],
            unit=target.scores.inputs[name].unit,
            attribution=found[name],
            checks=checks.get(name, ()),
        )
        for name in names
    )
