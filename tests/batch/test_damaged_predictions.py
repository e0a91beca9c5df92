"""Files of entered predictions that were damaged, and folders of entries that somebody changed."""

import json

import numpy as np
import pandas as pd
import pytest
from fuzzing import N_CASES, check_cases
from run_helpers import simulate_predictions

from ecglib.batch.entering.checks import arrange_predictions
from ecglib.batch.entering.files import read_predictions
from ecglib.evaluation.predictions import Predictions
from ecglib.evaluation.summary import evaluate
from ecglib.experiment.settings import DataSettings
from ecglib.runs import Entry, EntryDetails, write_entry
from ecglib.runs.files import METRICS, PREDICTIONS, hash_content, hash_values

pytestmark = pytest.mark.fuzz


def take(predictions, rows):
    names = ("rows", "records", "patients", "y", "p")
    return Predictions(
        kind=predictions.kind,
        classes=predictions.classes,
        **{name: getattr(predictions, name)[rows] for name in names},
    )


@pytest.fixture(scope="module")
def expected():
    both = simulate_predictions(1.0, 0)
    return {"validation": take(both, np.arange(30)), "test": take(both, np.arange(30, 60))}


@pytest.fixture(scope="module")
def table(expected):
    return pd.concat(
        pd.DataFrame(one.p, columns=list(one.classes)).assign(window=one.rows, record=one.records)
        for one in expected.values()
    )


def test_a_damaged_csv_file_is_read_or_refused(expected, table, tmp_path):
    file = tmp_path / "p.csv"
    table.to_csv(file, index=False)

    def read(content):
        file.write_bytes(content)
        return arrange_predictions(read_predictions(file), expected)

    check_cases(file.read_bytes(), read, n_cases=N_CASES // 2)


def test_a_damaged_npz_file_is_read_or_refused(expected, table, tmp_path):
    file = tmp_path / "p.npz"
    classes = np.array(["A", "B"])
    np.savez(file, window=table["window"], p=table[["A", "B"]], classes=classes)

    def read(content):
        file.write_bytes(content)
        return arrange_predictions(read_predictions(file), expected)

    check_cases(file.read_bytes(), read, n_cases=N_CASES // 2)


@pytest.fixture
def entry(expected, tmp_path):
    details = EntryDetails(
        name="resnet",
        seed=0,
        parameters=1000,
        source="",
        data=DataSettings(dataset="synthetic", fingerprint="0123", task="letters"),
        kind="multi_label",
        classes=("A", "B"),
        calibration_scale=(1.0, 1.0),
        calibration_bias=(0.0, 0.0),
        thresholds=(0.5, 0.5),
        caveats=("synthetic data",),
    )
    return write_entry(tmp_path, details, evaluate(expected))


@pytest.mark.parametrize("name", ["entry.json", METRICS, PREDICTIONS])
def test_an_entry_that_somebody_changed_with_its_hashes_is_read_or_refused(entry, name):
    file = entry.path / name

    def read(content):
        file.write_bytes(content)
        description = entry.path / "entry.json"
        try:
            values = json.loads(description.read_bytes())
            values.pop("checksum", None)
            if name != "entry.json":
                values["files"][name] = hash_content(content)
            description.write_text(json.dumps(values | {"checksum": hash_values(values)}))
        except (ValueError, AttributeError, TypeError):
            pass  # no description at all
        Entry(entry.path).verify()
        return Entry(entry.path).caveats, Entry(entry.path).thresholds

    check_cases(file.read_bytes(), read, n_cases=N_CASES // 2, seed=len(name))
