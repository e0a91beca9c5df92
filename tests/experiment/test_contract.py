"""The contract between a model and the records given to it."""

import json

import pytest

from ecglib.experiment import Contract, Experiment, Processing


@pytest.fixture
def contract(small_store):
    experiment = Experiment.from_flat(
        {
            "task": "letters",
            "branches": {"time": "cnn", "tabular": "mlp"},
            "fusion": "late_average",
            "crop_s": 2.0,
        },
        small_store,
    )
    return Contract(
        dataset=small_store.name,
        fingerprint=small_store.fingerprint,
        task="letters",
        kind="multi_label",
        classes=("A", "B"),
        part_column="part",
        signal=small_store.signal,
        processing=Processing.from_experiment(experiment, small_store),
        calibration_scale=(1.0, 0.5),
        calibration_bias=(0.0, 0.1),
        thresholds=(0.5, 0.25),
        caveats=("synthetic data",),
    )


def test_a_contract_survives_json(contract):
    again = Contract.from_dict(json.loads(json.dumps(contract.to_dict())))
    assert again == contract
    assert again.signal.leads == contract.signal.leads


def test_it_is_complete_by_type(contract):
    values = contract.to_dict()
    values.pop("thresholds")
    with pytest.raises(TypeError, match="thresholds"):
        Contract.from_dict(values)


def test_tabular_columns_are_named_even_where_they_are_the_default(contract, small_store):
    assert contract.processing.tabular_columns == small_store.default_tabular
    assert contract.processing.representations == ("time", "tabular")
