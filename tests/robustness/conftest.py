"""Runs of networks that were scaled but not trained, on a small store."""

import functools

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import make_small_source

from ecglib.datasets.writer import write_store
from ecglib.evaluation.predictions import Predictions
from ecglib.experiment import Contract, Experiment, Processing, describe_environment
from ecglib.models import ModelSpec, build_model
from ecglib.models.end_to_end import build_end_to_end, build_processing
from ecglib.models.inputs import find_scaling_axes, set_scaling
from ecglib.robustness.predicting import load_tested_models
from ecglib.runs import Result, find_run_path, write_run

SETTINGS = {"task": "letters", "width": 4, "feature_dim": 8}
MODELS = {
    "time": {"branches": {"time": "cnn"}},
    "frequency": {"branches": {"frequency": "mlp"}},
    "late": {
        "branches": {"time": "cnn", "frequency": "mlp"},
        "fusion": "late_average",
        "missing_branches": True,
    },
    "intermediate": {
        "branches": {"frequency": "mlp", "tabular": "mlp"},
        "fusion": "intermediate_concat",
        "representation_options": {"tabular": {"columns": ["age", "heart_rate_bpm"]}},
    },
}


@pytest.fixture(scope="session")
def tested_store(tmp_path_factory):
    source = make_small_source(n_records=160, n_patients=80)
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)


@pytest.fixture(scope="session")
def get_run(tested_store, tmp_path_factory):
    """Write the run of a model of `MODELS` by its name, once."""
    folder = tmp_path_factory.mktemp("runs")

    @functools.cache
    def get(name):
        experiment = Experiment.from_flat(SETTINGS | MODELS[name], tested_store)
        return write_untrained(experiment, tested_store, folder)

    return get


@pytest.fixture(scope="session")
def fold_runs(tested_store, tmp_path_factory):
    """The runs of all folds of a cross-validation of two models."""
    folder = tmp_path_factory.mktemp("fold_runs")
    runs = []
    for name in ("time", "frequency"):
        for fold in (1, 2, 3):
            settings = SETTINGS | MODELS[name] | {"n_folds": 3, "fold": fold}
            experiment = Experiment.from_flat(settings, tested_store)
            runs.append(write_untrained(experiment, tested_store, folder))
    return runs


@pytest.fixture(scope="session")
def load_tested(get_run, tested_store):
    """Load the run of a model by its name, once."""

    @functools.cache
    def load(name):
        return load_tested_models([get_run(name)], tested_store)

    return load


def write_untrained(experiment, dataset, folder):
    contract = make_contract(experiment, dataset)
    columns = contract.processing.tabular_columns
    data = experiment.data
    selection = dataset.select("letters", columns, data.n_folds, data.fold)
    inputs = [dataset.read(selection.rows), selection.tabular][: 2 if columns else 1]
    representations = build_processing(dataset.signal, contract.processing)
    computed = representations(inputs if columns else inputs[0])
    network = build_network(experiment, selection, computed)
    end_to_end = build_end_to_end(contract, network)
    p = end_to_end.predict(inputs if columns else inputs[0], batch_size=64, verbose=0)
    predictions = {
        split: Predictions.from_selection(selection.in_split(split), p[selection.part == split])
        for split in ("validation", "test")
    }
    result = Result(
        model=network,
        history=pd.DataFrame({"epoch": [1], "loss": [1.0]}),
        predictions=predictions,
        metrics={"model": {"parameters": network.count_params()}},
        contract=contract,
        environment=describe_environment(threads=1),
    )
    return write_run(find_run_path(experiment, folder, "tested"), experiment, result)


def make_contract(experiment, dataset):
    return Contract(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        task="letters",
        kind="multi_label",
        classes=("A", "B"),
        part_column="part",
        signal=dataset.signal,
        processing=Processing.from_experiment(experiment, dataset),
        calibration_scale=(2.0, 1.5),
        calibration_bias=(0.3, -0.2),
        thresholds=(0.5, 0.5),
        caveats=("not trained",),
    )


def build_network(experiment, selection, computed):
    model = experiment.model
    spec = ModelSpec(
        branches=model.branches,
        fusion=model.fusion,
        n_classes=len(selection.classes),
        kind=selection.task.kind,
        width=model.width,
        feature_dim=model.feature_dim,
        missing_branches=model.missing_branches,
    )
    network = build_model({name: x.shape[1:] for name, x in computed.items()}, spec)
    scaling = {}
    for name, x in computed.items():
        values = keras.ops.convert_to_numpy(x)
        axes = find_scaling_axes(name, values.ndim)
        known = np.where(np.isnan(values), 0.0, values)  # no window of the store has a heart rate
        scaling[name] = known.mean(axis=axes), known.var(axis=axes)
    set_scaling(network, scaling)
    return network
