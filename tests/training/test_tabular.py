"""The representation "tabular" from the store to the prediction of a record never seen."""

import keras
import numpy as np
import pytest
from helpers import LEADS, RATE_HZ
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecglib.errors import DatasetError, ExperimentError
from ecglib.experiment import Experiment
from ecglib.inference import Predictor, RecordOptions, read_stored_windows
from ecglib.representations import TabularValues
from ecglib.training import Trainer, train
from ecglib.training.epoch_order import BatchOptions
from ecglib.training.input_pipeline import make_batches
from ecglib.training.trainer import REPRESENTATIONS_IN

AGE = {"tabular": {"columns": ["age"]}}


def create(store, **changes):
    values = {
        "task": "letters",
        "branches": {"tabular": "mlp"},
        "representation_options": AGE,
        "width": 8,
        "feature_dim": 8,
        "epochs": 30,
        "patience": 30,
        "batch_size": 16,
        "learning_rate": 0.01,
    }
    return Experiment.from_flat(values | changes, store)


@pytest.fixture(scope="module")
def run(small_store, tmp_path_factory):
    return train(small_store, create(small_store), batch=tmp_path_factory.mktemp("runs"))


def test_a_model_of_the_age_alone_is_as_good_as_scikit_learns(run, small_store):
    """Class A is old; the age of every seventh record is missing, where only chance is left."""
    test_predictions = run.predictions("test")
    selection = small_store.select("letters", ["age"])
    train, test = selection.in_split("train"), selection.in_split("test")
    filled = [np.nan_to_num(part.tabular, nan=55) for part in (train, test)]
    peer = LogisticRegression().fit(filled[0], train.y[:, 0]).predict_proba(filled[1])[:, 1]
    expected = roc_auc_score(test.y[:, 0], peer)
    assert expected > 0.85
    y, p = test_predictions.y, test_predictions.p
    assert roc_auc_score(y[:, 0], p[:, 0]) > expected - 0.03
    assert abs(roc_auc_score(y[:, 1], p[:, 1]) - 0.5) < 0.25


def test_a_missing_value_is_answered_by_what_is_usual(run):
    """Neither certain nor NaN: between the answers for the old and for the young."""
    graph = Predictor(run).model
    silence = np.zeros((3, round(4 * RATE_HZ), len(LEADS)), np.float32)
    p = graph.predict([silence, np.array([[np.nan], [42], [72]], np.float32)], verbose=0)[:, 0]
    assert p[1] < p[0] < p[2]


def test_scaling_leaves_missing_values_out(run, small_store):
    age = small_store.select("letters", ["age"]).in_split("train").tabular
    layer = run.load_network().get_layer("tabular_scaling")
    mean, variance = (np.asarray(w) for w in layer.get_weights()[:2])
    assert np.allclose(mean, np.nanmean(age, axis=0), rtol=1e-5)
    assert np.allclose(variance, np.nanvar(age, axis=0), rtol=1e-4)


def test_batches_hold_the_values_of_their_own_windows(small_store):
    columns = ["age", "rr_min_s"]
    selection = small_store.select("letters", columns)
    experiment = create(small_store, representation_options={"tabular": {"columns": columns}})
    representations = Trainer(experiment, small_store).representations
    batches = make_batches(
        small_store, selection, representations, 16, BatchOptions(shuffle_seed=3)
    )
    seen = np.concatenate([np.concatenate([x["tabular"], y], axis=1) for x, y in batches])
    expected = np.concatenate([selection.tabular, selection.y], axis=1)
    assert not np.array_equal(seen, expected, equal_nan=True)
    assert sorted(map(str, seen)) == sorted(map(str, expected))
    (first, _), *_ = make_batches(small_store, selection, None, 16)
    assert set(first) == {"signal", "tabular"}
    assert np.array_equal(first["tabular"], selection.tabular[:16], equal_nan=True)


def test_the_layer_knows_its_shape_and_columns_before_any_data():
    layer = TabularValues(["age", "rr_sd_s"])
    assert layer.compute_output_shape([(None, 400, 3), (None, 2)]) == (None, 2)
    assert layer.compute_axes(400) == {"column": ["age", "rr_sd_s"]}
    assert TabularValues.from_config(layer.get_config()).columns == layer.columns
    with pytest.raises(ExperimentError, match="3 values do not fit"):
        layer.compute_output_shape([(None, 400, 3), (None, 3)])
    for columns in ([], ["age", "age"]):
        with pytest.raises(ExperimentError, match="each once"):
            TabularValues(columns)


def test_representations_that_take_values_need_them(small_store):
    representations = Trainer(create(small_store), small_store).representations
    with pytest.raises(ExperimentError, match="none were selected"):
        make_batches(small_store, small_store.select("letters"), representations, 16)


@pytest.mark.slow
def test_where_the_representations_are_computed_does_not_matter(small_store, tmp_path):
    experiment = create(
        small_store, branches={"time": "cnn", "tabular": "mlp"}, fusion="late_average", epochs=2
    )
    p = [
        train(small_store, experiment, batch=tmp_path / where, representations_in=where)
        .predictions("test")
        .p
        for where in REPRESENTATIONS_IN
    ]
    assert np.allclose(p[0], p[1], atol=1e-3)


@pytest.mark.slow
def test_the_default_columns_are_written_into_the_contract(small_store, tmp_path):
    run = train(
        small_store, create(small_store, representation_options={}, epochs=1), batch=tmp_path
    )
    columns = run.contract.processing.tabular_columns
    assert columns == small_store.default_tabular
    assert columns[0] == "age"
    assert len(columns) == 7


def test_an_unknown_column_is_refused_before_anything_is_trained(small_store, tmp_path):
    for options, error in (
        ({"columns": ["agee"]}, DatasetError),
        ({"column": ["age"]}, ExperimentError),
    ):
        with pytest.raises(error, match=r"'age'|columns"):
            train(
                small_store,
                create(small_store, representation_options={"tabular": options}),
                batch=tmp_path,
            )


def test_records_are_predicted_with_the_values_given(run, small_store, tmp_path):
    predictor, test = Predictor(run), run.predictions("test")
    assert run.contract.processing.tabular_columns == ("age",)
    stored = predictor.predict_windows(read_stored_windows(small_store, test.rows, ["age"]))
    assert np.abs(stored.p - test.p).max() < 1e-5
    known = np.isfinite(small_store.read_tabular(test.rows, ["age"])[:, 0])
    row = test.rows[known][0]
    (age,) = small_store.read_tabular(np.array([row]), ["age"])[0]
    path = tmp_path / "x.npy"
    np.save(path, small_store.read([row])[0])

    def predict(**values):
        options = RecordOptions(sampling_rate_hz=RATE_HZ, unit="mV", leads=LEADS, values=values)
        return predictor.predict([path], options=options)

    with_age = predict(age=age)
    assert np.abs(with_age.p[0] - test.p[test.rows == row]).max() < 1e-5
    assert np.abs(predict().p - with_age.p).max() > 0.01
    with pytest.raises(DatasetError, match=r"'weight'.*uses only age"):
        predict(weight=70)


def test_values_reach_each_crop_of_their_window(small_store, tmp_path):
    """The model on NumPy's crops, each with the values of its window, and the mean."""
    experiment = create(
        small_store,
        branches={"time": "cnn", "tabular": "mlp"},
        fusion="intermediate_concat",
        crop_s=2.0,
        epochs=1,
    )
    run = train(small_store, experiment, batch=tmp_path)
    model, predictions = run.load_network(), run.predictions("test")
    representations = Trainer(experiment, small_store).representations
    windows = small_store.read(predictions.rows)
    values = small_store.read_tabular(predictions.rows, ["age"])
    p = np.mean(
        [
            model.predict(representations([windows[:, s : s + 200], values]), verbose=0)
            for s in (0, 100, 200)
        ],
        axis=0,
    )
    graph = Predictor(run).model
    bare = keras.Model(graph.inputs, graph.get_layer("aggregate_crops").output)
    assert np.abs(bare.predict([windows, values], verbose=0) - p).max() < 1e-5
