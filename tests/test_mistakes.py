"""Typical mistakes get one sentence that says what to do."""

import keras
import numpy as np
import pandas as pd
import pytest

import ecglib
from ecglib.experiment.registry import FUSIONS

TIME = {"time": "cnn"}
TWO = {"time": "cnn", "spectrogram": "cnn2d"}
ARRAY = np.zeros((3, 400, 3))


@pytest.fixture(scope="module")
def run(small_store, tmp_path_factory):
    return ecglib.train(
        small_store,
        branches={"frequency": "mlp"},
        epochs=1,
        width=4,
        feature_dim=8,
        batch=tmp_path_factory.mktemp("runs"),
    )


@pytest.fixture
def message_of(small_store, run):
    """What the error of a call says, which gets the objects that a user has at hand."""

    def find(call):
        with pytest.raises(ecglib.EcgError) as raised:
            call(small_store, run)
        message = str(raised.value)
        assert len(message.splitlines()) == 1
        return message

    return find


# Arguments in the wrong order, or something else in the place of what is due.
SWAPPED = {
    "a name in place of the dataset": (
        lambda data, run: ecglib.train("synthetic", branches=TIME),
        "'synthetic' is a name, expected a dataset. Prepare or open it first: "
        "ecglib.prepare('synthetic').",
    ),
    "the experiment before the dataset": (
        lambda data, run: ecglib.train(run.experiment, data),
        "The dataset comes first: train(data, experiment).",
    ),
    "an array in place of the dataset": (
        lambda data, run: ecglib.train(ARRAY, branches=TIME),
        "ecglib.write_store(ecglib.ArraysSource(...))",
    ),
    "a run in place of the dataset": (
        lambda data, run: ecglib.train(run, branches=TIME),
        "Run was given, expected a dataset.",
    ),
    "a mapping in place of keywords": (
        lambda data, run: ecglib.train(data, {"branches": TIME}),
        "Give them as keywords: train(data, **settings).",
    ),
    "the dataset before the settings": (
        lambda data, run: ecglib.Experiment.from_flat(data, {"branches": TIME}),
        "The settings come first, the dataset second",
    ),
    "a name in place of the dataset of an experiment": (
        lambda data, run: ecglib.Experiment.from_flat({"branches": TIME}, "synthetic"),
        "ecglib.prepare('synthetic')",
    ),
    "a dataset that is prepared already": (
        lambda data, run: ecglib.prepare(data),
        "Dataset 'small' is open already. Give it to ecglib.train.",
    ),
    "an array in place of a name": (
        lambda data, run: ecglib.prepare(ARRAY),
        "ecglib.write_store(ecglib.ArraysSource(...), folder)",
    ),
    "one run in place of a list": (
        lambda data, run: ecglib.compare(run),
        "expected a list. Give compare([run, other_run]).",
    ),
    "the name of a batch in place of runs": (
        lambda data, run: ecglib.compare("explore"),
        "ecglib.find_runs(folder)",
    ),
    "names in place of runs": (
        lambda data, run: ecglib.compare(["runs/a", "runs/b"]),
        "'runs/a' is a name, expected a run. Open it first: ecglib.open_run(...)",
    ),
    "no runs": (
        lambda data, run: ecglib.compare([]),
        "[] was given, expected a list of at least one run.",
    ),
    "experiments in place of runs": (
        lambda data, run: ecglib.compare([run.experiment]),
        "Experiment was given, expected a run. Give what ecglib.train returned",
    ),
    "a name in place of the run of a predictor": (
        lambda data, run: ecglib.Predictor("newest"),
        "'newest' is a name, expected a run. Open it first",
    ),
    "a dataset in place of the run to export": (
        lambda data, run: ecglib.export_run(data),
        "Dataset was given, expected a run.",
    ),
    "a run where its folder is due": (
        lambda data, run: ecglib.find_runs(run),
        "What ecglib.train returned is open already.",
    ),
    "an array where recordings are due": (
        lambda data, run: ecglib.ArraysSource("mine", ARRAY, pd.DataFrame(), None),
        "ndarray was given, expected recordings",
    ),
    "an array where a source is due": (
        lambda data, run: ecglib.write_store(ARRAY, "data"),
        "expected a source, such as ArraysSource for arrays.",
    ),
}

# Names that do not exist.
NAMES = {
    "lr": (
        lambda data, run: ecglib.train(data, branches=TIME, lr=1e-3),
        "There is no setting 'lr'. Did you mean 'learning_rate'?",
    ),
    "n_epochs": (
        lambda data, run: ecglib.train(data, branches=TIME, n_epochs=3),
        "Did you mean 'epochs'?",
    ),
    "a parameter of train itself": (
        lambda data, run: ecglib.train(data, branches=TIME, callback=[]),
        "Did you mean 'callbacks'?",
    ),
    "a setting like no other": (
        lambda data, run: ecglib.train(data, branches=TIME, optimizer="adam"),
        "All are: branches, fusion, task, n_folds,",
    ),
    "the dataset as a setting": (
        lambda data, run: ecglib.train(data, branches=TIME, dataset="mitdb"),
        "dataset='mitdb' is that of the data. Leave it out.",
    ),
    "a word of a fusion": (
        lambda data, run: ecglib.train(data, branches=TWO, fusion="gated"),
        f"fusion='gated', expected one of {list(FUSIONS)}. Did you mean 'intermediate_gated'?",
    ),
    "no fusion": (
        lambda data, run: ecglib.train(data, branches=TWO),
        f"fusion='none' with 2 branches; choose one of {list(FUSIONS)}.",
    ),
    "a fusion of one branch": (
        lambda data, run: ecglib.train(data, branches=TIME, fusion="late_average"),
        "fusion='late_average' with one branch; use fusion='none'.",
    ),
    "no branches": (
        lambda data, run: ecglib.train(data),
        "expected representations with their encoders, as in branches={'time': 'cnn'}.",
    ),
    "an encoder in place of branches": (
        lambda data, run: ecglib.train(data, branches="cnn"),
        "branches='cnn', expected representations with their encoders",
    ),
    "the encoder before its representation": (
        lambda data, run: ecglib.train(data, branches={"cnn": "time"}),
        "The representation comes first: {'time': 'cnn'}.",
    ),
    "a misspelt representation": (
        lambda data, run: ecglib.train(data, branches={"spectogram": "cnn2d"}),
        "Did you mean 'spectrogram'?",
    ),
    "the encoder of another representation": (
        lambda data, run: ecglib.train(data, branches={"time": "cnn2d"}),
        "branches['time']='cnn2d', expected one of ['cnn',",
    ),
    "a task of another dataset": (
        lambda data, run: ecglib.train(data, branches=TIME, task="superdiagnostic"),
        "Dataset 'small' has no task 'superdiagnostic'. Its tasks: ['letters'].",
    ),
    "a misspelt dataset": (
        lambda data, run: ecglib.prepare("synthetc"),
        "Did you mean 'synthetic'?",
    ),
    "a misspelt split": (
        lambda data, run: run.predictions("valid"),
        "split='valid', expected one of ['validation', 'test']. Did you mean 'validation'?",
    ),
    "a misspelt metric": (
        lambda data, run: ecglib.compare([run], metric="auc"),
        "Did you mean 'auroc'?",
    ),
    "a misspelt representation to list": (
        lambda data, run: ecglib.list_encoders("tme"),
        "Did you mean 'time'?",
    ),
}

# Values of the wrong type, and records.
VALUES = {
    "a number as text": (
        lambda data, run: ecglib.train(data, branches=TIME, epochs="10"),
        "epochs='10' is str, expected a whole number at least 1.",
    ),
    "a callback that is no list": (
        lambda data, run: ecglib.train(
            data, branches=TIME, callbacks=keras.callbacks.TerminateOnNaN()
        ),
        "expected a list of Keras callbacks.",
    ),
    "a function as callback": (
        lambda data, run: ecglib.train(data, branches=TIME, callbacks=[print]),
        "For a function use keras.callbacks.LambdaCallback.",
    ),
    "early stopping as callback": (
        lambda data, run: ecglib.train(
            data, branches=TIME, callbacks=[keras.callbacks.EarlyStopping("val_loss")]
        ),
        "Use patience and monitor.",
    ),
    "a folder for a simulated dataset": (
        lambda data, run: ecglib.prepare("synthetic", "folder"),
        "is simulated and takes no source",
    ),
    "a dataset of files without its files": (
        lambda data, run: ecglib.prepare("csv_folder"),
        "options={'labels': ...}",
    ),
    "an array without rate and leads": (
        lambda data, run: run.predict(ARRAY),
        "An array does not name its sampling rate and leads. Give both, as in predict(",
    ),
    "an array with leads first": (
        lambda data, run: run.predict(
            np.zeros((3, 400)), sampling_rate_hz=100, leads=data.signal.leads
        ),
        "Transpose the array",
    ),
    "a dataset to predict": (
        lambda data, run: run.predict(data),
        "What a run predicts for its dataset is in run.predictions('test').",
    ),
    "files and arrays mixed": (
        lambda data, run: run.predict(["a.hea", ARRAY[0]]),
        "Predict files and arrays in two calls.",
    ),
    "a file that is not there": (
        lambda data, run: run.predict("nowhere.hea"),
        "there is no such file or folder",
    ),
}


@pytest.mark.parametrize(("call", "answer"), SWAPPED.values(), ids=SWAPPED)
def test_something_else_in_the_place_of_what_is_due(call, answer, message_of):
    assert answer in message_of(call)


@pytest.mark.parametrize(("call", "answer"), NAMES.values(), ids=NAMES)
def test_a_name_that_does_not_exist(call, answer, message_of):
    assert answer in message_of(call)


@pytest.mark.parametrize(("call", "answer"), VALUES.values(), ids=VALUES)
def test_a_value_that_does_not_fit(call, answer, message_of):
    assert answer in message_of(call)


def test_a_misspelt_public_name():
    with pytest.raises(AttributeError, match="Did you mean 'train'"):
        ecglib.trian  # noqa: B018
