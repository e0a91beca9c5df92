"""Several networks as one model, so that what they have in common is computed once."""

from __future__ import annotations

import ecglib._keras  # noqa: F401

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from ecglib.datasets.store import Dataset
from ecglib.datasets.tabular.heart_rate import HEART_RATE, compute_heart_rate
from ecglib.experiment.contract import Contract, Processing
from ecglib.inference.converters import BATCH_SIZE, unpack_single
from ecglib.models.end_to_end import Calibrate, build_processing, build_window_model


class JoinedNetworks:
    """Networks of one dataset that predict together.

    Networks that take the same processing are one model: filters and representations are computed
    once for all of them, not once for each seed.

    Parameters
    ----------
    dataset : Dataset
        The store that they were trained on.
    contracts : sequence of Contract
        Of the run of each network.
    networks : sequence of keras.Model
        From the representations to probabilities.

    Examples
    --------
    >>> from ecglib import find_runs, open_dataset
    >>> runs, dataset = find_runs("runs/fusion"), open_dataset("mitdb")  # doctest: +SKIP
    >>> contracts = [run.contract for run in runs]  # doctest: +SKIP
    >>> joined = JoinedNetworks(
    ...     dataset, contracts, [run.load_network() for run in runs]
    ... )  # doctest: +SKIP
    """

    def __init__(
        self, dataset: Dataset, contracts: Sequence[Contract], networks: Sequence[keras.Model]
    ):
        self._dataset, self._n_networks = dataset, len(networks)
        self._groups = [
            _Group(members, [contracts[i] for i in members], [networks[i] for i in members])
            for members in _group_by_processing(contracts)
        ]

    def predict(self, windows_mv: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Predict windows by all networks.

        Parameters
        ----------
        windows_mv : array of shape (n_windows, n_samples, n_leads)
            The windows in mV, disturbed or not.
        rows : int array of shape (n_windows,)
            Their rows in the window table, for the tabular values. The heart rate is computed from
            the windows that are given, unless the source of the dataset names it.

        Returns
        -------
        float32 array of shape (2, n_networks, n_windows, n_classes)
            Probabilities before and after calibration.
        """
        predicted: dict[int, np.ndarray] = {}
        for group in self._groups:
            inputs = [windows_mv]
            if group.tabular_columns:
                inputs.append(self._read_tabular(group.tabular_columns, windows_mv, rows))
            both = group.model.predict(unpack_single(inputs), batch_size=BATCH_SIZE, verbose=0)
            for place, i in enumerate(group.members):
                predicted[i] = np.stack([one[:, place] for one in both])
        return np.stack([predicted[i] for i in range(self._n_networks)], axis=1)

    def _read_tabular(
        self, columns: Sequence[str], windows_mv: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        values = self._dataset.read_tabular(rows, columns)
        computed = [
            (place, HEART_RATE.index(name))
            for place, name in enumerate(columns)
            if name in HEART_RATE and name not in self._dataset.summary["tabular"]
        ]
        if computed:
            signal = self._dataset.signal
            heart_rate = np.array([compute_heart_rate(one, signal) for one in windows_mv])
            for place, column in computed:
                values[:, place] = heart_rate[:, column]
        return values


class _Group:
    """Networks that take the same processing, as one model: (n_windows, n_networks, n_classes)."""

    def __init__(
        self,
        members: Sequence[int],
        contracts: Sequence[Contract],
        networks: Sequence[keras.Model],
    ):
        self.members = members
        processing = _merge_processings([one.processing for one in contracts])
        self.tabular_columns = processing.tabular_columns
        signal, kind = contracts[0].signal, contracts[0].kind
        representations = build_processing(signal, processing)
        joined = _join_networks(representations, networks)
        model = build_window_model(signal, representations, joined, processing, kind)
        calibrated = [
            Calibrate(kind, one.calibration_scale, one.calibration_bias, dtype="float32")(
                model.output[:, i]
            )
            for i, one in enumerate(contracts)
        ]
        self.model = keras.Model(model.inputs, [model.output, ops.stack(calibrated, axis=1)])
        self.model.jit_compile = model.jit_compile


def _join_networks(representations: keras.Model, networks: Sequence[keras.Model]) -> keras.Model:
    """Join networks to one from all representations to (n_windows, n_networks, n_classes)."""
    inputs = {
        name: keras.Input(x.shape[1:], name=name) for name, x in representations.output.items()
    }
    outputs = []
    for i, network in enumerate(networks):
        named = keras.Model(network.inputs, network.outputs, name=f"network_{i}")
        (p,) = named([inputs[x.name] for x in network.inputs])
        outputs.append(ops.cast(p, "float32"))
    return keras.Model(list(inputs.values()), ops.stack(outputs, axis=1), name="networks")


def _group_by_processing(contracts: Sequence[Contract]) -> list[list[int]]:
    """Group contracts whose representations can be computed by one model."""
    groups: list[list[int]] = []
    for i, contract in enumerate(contracts):
        for group in groups:
            others = [contracts[j].processing for j in group]
            if all(_fits_processing(contract.processing, one) for one in others):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _fits_processing(a: Processing, b: Processing) -> bool:
    without = [
        dataclasses.replace(one, representations=(), representation_options={}) for one in (a, b)
    ]
    return without[0] == without[1] and all(
        a.representation_options.get(name, {}) == b.representation_options.get(name, {})
        for name in set(a.representations) & set(b.representations)
    )


def _merge_processings(processings: Sequence[Processing]) -> Processing:
    names = dict.fromkeys(name for one in processings for name in one.representations)
    options = {
        name: values for one in processings for name, values in one.representation_options.items()
    }
    return dataclasses.replace(
        processings[0], representations=tuple(names), representation_options=options
    )
