"""The pointing test of a run, from its folder to the table."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import ecglib
from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.sources.synthetic_pointing import SyntheticPointingSource
from ecglib.errors import RunError
from ecglib.explain import (
    Attribution,
    Axis,
    attribute_by_gradient,
    measure_pointing,
    occlude_segments,
    pointing_runs,
)
from ecglib.explain.beat_runs import average_run_beats, measure_run_waves
from ecglib.explain.found_windows import find_windows
from ecglib.explain.pointing import Evidence

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source():
    return SyntheticPointingSource(n_patients=40, seed=3)


@pytest.fixture(scope="module")
def dataset(source, tmp_path_factory):
    return ecglib.write_store(source, tmp_path_factory.mktemp("data"), progress=False)


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    return ecglib.train(
        dataset,
        batch=tmp_path_factory.mktemp("runs"),
        branches={"time": "cnn"},
        width=4,
        feature_dim=8,
        epochs=1,
    )


@pytest.fixture(scope="module")
def quick_methods():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pointing_runs, "METHODS", (attribute_by_gradient,))
        patch.setattr(pointing_runs, "TIME_METHODS", (occlude_segments,))
        yield


@pytest.fixture(scope="module")
def table(run, dataset, source, quick_methods):
    return measure_pointing([run], dataset, source, max_windows=3, classes=["T", "BAND"])


def test_the_table_has_each_method_with_its_chance(table):
    methods = {"gradient", "occlusion of segments", "occlusion of waves", "Grad-CAM"}
    assert methods == set(table["method"])
    assert (table["n_windows"] <= 3).all()
    assert table["hits"].between(0, 1).all()
    leads = table[table["axis"] == "lead"]
    np.testing.assert_allclose(leads["hits_chance"], 1 / 12)
    assert (leads["rank_chance"] == 6.5).all()


def test_an_axis_that_the_evidence_covers_has_no_row(table):
    tremor = table[table["class_name"] == "BAND"]

    assert set(tremor["axis"]) == {"lead"}
    assert (table["hits_chance"] <= pointing_runs.MAX_CHANCE).all()


def test_two_seeds_of_a_model_are_scored_together_and_reproducibly(
    run, dataset, source, table, quick_methods
):
    one = table[table["class_name"] == "T"]

    two = measure_pointing([run, run], dataset, source, max_windows=3, classes=["T"])

    assert (two["seeds"] == 2).all()
    assert (two["n_windows"] == 2 * one["n_windows"]).all()
    pd.testing.assert_series_equal(two["hits"], one["hits"])
    pd.testing.assert_series_equal(two["fall"], one["fall"], rtol=1e-5)


def test_methods_are_scored_on_the_seeds_that_use_the_evidence(monkeypatch):
    """Of two seeds one uses the evidence, and its attribution hits."""
    signal_mv = np.zeros((4, 100, 2))
    signal_mv[:, 50, 1] = 1.0
    lead = Axis(name="lead", unit="", values=np.array(["I", "II"]))

    def explain(run, dataset, source, class_name, max_windows):
        values = np.array([[1.0, 0.0], [0.0, 1.0]])[[run.seed] * 4]
        return pointing_runs.ExplainedClass(
            attributions=[
                Attribution(
                    values=values,
                    axes=(lead,),
                    unit="logit",
                    input_name="signal",
                    method="m",
                    class_name=class_name,
                    windows=tuple("abcd"),
                )
            ],
            evidence=Evidence(
                signal_mv=signal_mv,
                without_mv=0 * signal_mv,
                signal=SignalSpec(100.0, 100, ("I", "II")),
                patients=np.array(list("abcd")),
            ),
            fall=np.array([0.1, 0.2, 0.3, 0.2]) + 5 * run.seed,
        )

    monkeypatch.setattr(pointing_runs, "explain_class", explain)
    monkeypatch.setattr(pointing_runs, "name_contestants", lambda runs: {"h": "time:cnn"})
    monkeypatch.setattr(pointing_runs, "MAX_CHANCE", 0.5)
    runs = [SimpleNamespace(model_hash="h", seed=seed) for seed in (0, 1)]
    (row,) = measure_pointing(runs, None, None, classes=["T"]).to_dict("records")

    assert (row["seeds"], row["seeds_using"], row["n_windows"], row["hits"]) == (2, 1, 4, 1.0)
    assert row["fall"] == pytest.approx(2.7)


def test_windows_have_the_class_and_are_predicted_to_have_it(run, dataset):
    found = find_windows(run, dataset, "T", max_windows=100)

    predictions = run.predictions("test")
    k = run.contract.classes.index("T")
    decided = predictions.p[:, k] >= run.contract.thresholds[k]
    expected = predictions.rows[(predictions.y[:, k] == 1) & decided]
    assert sorted(found.rows) == sorted(expected)
    assert len(found.rows) == len(found.patients)


def test_patients_take_turns(run, dataset):
    everything = find_windows(run, dataset, "T", max_windows=100)
    n_patients = len(set(everything.patients))

    some = find_windows(run, dataset, "T", max_windows=n_patients)

    assert len(set(some.patients)) == n_patients


@pytest.fixture(scope="module")
def found_class(run, dataset):
    """The class that the hardly trained network finds in the largest number of patients."""
    return max(
        run.contract.classes,
        key=lambda name: len(set(find_windows(run, dataset, name, 50).patients)),
    )


def test_the_beats_of_a_run_are_averaged(run, dataset, found_class):
    average = average_run_beats(run, dataset, found_class, attribute_by_gradient, max_windows=4)

    assert average.signal_mv.estimate.shape == (101, 12)
    assert sum(one.attribution for one in average.fractions) == pytest.approx(1)


def test_the_waves_of_a_run_are_sorted_by_how_much_the_score_falls(run, dataset, found_class):
    waves = measure_run_waves(run, dataset, found_class, max_windows=4)

    assert len(waves[["wave", "lead"]].drop_duplicates()) == 4 * 12
    assert waves["fall"].is_monotonic_decreasing
    assert waves["fall"].between(waves["low"], waves["high"]).all()


def test_another_dataset_is_refused(run, dataset, tmp_path):
    other = ecglib.write_store(
        SyntheticPointingSource(n_patients=10, seed=4), tmp_path, progress=False
    )

    with pytest.raises(RunError, match="was trained on"):
        find_windows(run, other, "T", max_windows=4)
