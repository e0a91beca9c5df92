"""What a record must be to be given to a model, and how the model's answer is to be read."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.store import Dataset
from ecglib.experiment.config import Experiment
from ecglib.experiment.preflight import find_tabular_columns
from ecglib.experiment.registry import TABULAR


@dataclasses.dataclass(frozen=True, kw_only=True)
class Processing:
    """What happens to a window before the model, and how the model's crops are joined.

    Parameters
    ----------
    band_hz, notch_hz, denoise
        Filters, as in `InputSettings`.
    representations : tuple of str
        The representations that the model takes.
    representation_options : dict of dict
        Their options; those of ``tabular`` always name its columns.
    crop_s, crop_hop_s, crop_aggregation
        Crops, as in `InputSettings`.

    Examples
    --------
    >>> processing = Processing(
    ...     band_hz=(0.5, 40.0),
    ...     notch_hz=0.0,
    ...     denoise=False,
    ...     representations=("time",),
    ...     representation_options={},
    ...     crop_s=0.0,
    ...     crop_hop_s=0.0,
    ...     crop_aggregation="mean",
    ... )
    >>> processing.tabular_columns
    ()
    """

    band_hz: tuple[float, float]
    notch_hz: float
    denoise: bool
    representations: tuple[str, ...]
    representation_options: dict[str, dict[str, Any]]
    crop_s: float
    crop_hop_s: float
    crop_aggregation: str

    @classmethod
    def from_experiment(cls, experiment: Experiment, dataset: Dataset) -> Self:
        """Return the processing that an experiment asks for on a dataset."""
        inputs, options = experiment.inputs, experiment.inputs.representation_options
        if columns := find_tabular_columns(experiment, dataset):
            tabular = options.get(TABULAR, {}) | {"columns": list(columns)}
            options = options | {TABULAR: tabular}
        return cls(
            band_hz=inputs.band_hz,
            notch_hz=inputs.notch_hz,
            denoise=inputs.denoise,
            representations=tuple(experiment.representations),
            representation_options=options,
            crop_s=inputs.crop_s,
            crop_hop_s=inputs.crop_hop_s,
            crop_aggregation=inputs.crop_aggregation,
        )

    @property
    def tabular_columns(self) -> tuple[str, ...]:
        """The tabular values that the model takes, in order."""
        return tuple(self.representation_options.get(TABULAR, {}).get("columns", ()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contract:
    """What a record must be to be given to a model, and how the model's answer is to be read.

    It travels with the model: in the run's ``contract.json``, and inside an exported model.

    Parameters
    ----------
    dataset, fingerprint : str
        The store that the model was trained on.
    task : str
        Name of the task.
    kind : {"multi_label", "multi_class"}
        Whether a window can have several classes.
    classes : tuple of str
        Names of the classes, in the order of the probabilities.
    part_column : str
        The column of the window table that gave the splits.
    signal : SignalSpec
        Sampling rate, samples, leads and unit of a window.
    processing : Processing
        What happens to a window before the model.
    calibration_scale, calibration_bias : tuple of float
        Parameters of the calibration, one a class (`ecglib.evaluation.calibration`).
    thresholds : tuple of float
        Decision thresholds, one a class.
    caveats : tuple of str
        Shown with every number of the model.

    Examples
    --------
    >>> import json
    >>> contract = Contract(
    ...     dataset="synthetic",
    ...     fingerprint="0123",
    ...     task="rhythm",
    ...     kind="multi_class",
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
    >>> Contract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract
    True
    """

    dataset: str
    fingerprint: str
    task: str
    kind: str
    classes: tuple[str, ...]
    part_column: str
    signal: SignalSpec
    processing: Processing
    calibration_scale: tuple[float, ...]
    calibration_bias: tuple[float, ...]
    thresholds: tuple[float, ...]
    caveats: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the contract of plain values, such as those of a JSON file.

        Raises
        ------
        TypeError
            If a value is missing or unknown.
        """
        plain = dict(values)
        signal, processing = plain.pop("signal"), plain.pop("processing")
        return cls(
            signal=SignalSpec(**_with_tuples(signal)),
            processing=Processing(**_with_tuples(processing)),
            **_with_tuples(plain),
        )


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
