"""From a run and a record to an explanation, against predictions and models that are known."""

import shutil

import keras
import numpy as np
import pytest
from class_score_helpers import make_noise

from ecglib.errors import DatasetError, ExperimentError, RunError
from ecglib.experiment import Experiment
from ecglib.explain import Explainer
from ecglib.explain.methods import METHODS, check_attributions
from ecglib.explain.record_windows import find_stored_record
from ecglib.explain.targets import choose_class
from ecglib.inference import RecordOptions
from ecglib.runs import Run, find_runs_of_other_seeds, write_description
from ecglib.training import train

SMALL = {"width": 4, "feature_dim": 8, "epochs": 2, "batch_size": 16, "task": "letters"}


def train_small(store, folder, **settings):
    return train(store, Experiment.from_flat(SMALL | settings, store), batch=folder / "runs" / "b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("explained")


@pytest.fixture(scope="module")
def fusion(small_store, folder):
    """A gated fusion of crops, with a spectrum, a spectrogram and a tabular value."""
    return train_small(
        small_store,
        folder,
        branches={"time": "cnn", "frequency": "mlp", "spectrogram": "cnn2d", "tabular": "mlp"},
        fusion="intermediate_gated",
        crop_s=2.0,
    )


@pytest.fixture(scope="module")
def fold_run(small_store, folder):
    """A run of one branch, and one fold of a cross-validation."""
    return train_small(small_store, folder, branches={"frequency": "mlp"}, n_folds=3, fold=2)


@pytest.fixture(scope="module")
def fold_explanation(fold_run, small_store):
    explainer = Explainer(fold_run, small_store)
    given = explainer.read_record(get_test_record(fold_run, small_store))
    return explainer.explain(given, method="gradient")


@pytest.fixture(scope="module")
def explainer(fusion, small_store):
    return Explainer(fusion, small_store)


def copy_run(run, batch, network=None, **changes):
    """Copy a run into a batch, with changes of its experiment and with another network."""
    path = batch / "_".join(["copy", *(f"{key}{value}" for key, value in changes.items())])
    shutil.copytree(run.path, path)
    if network is not None:
        network.save(path / "model.keras")
    write_description(path, run.experiment.replace(**changes), run.environment)
    return Run(path)


def get_agreement(explanation):
    checks = explanation.signal.checks
    return next((one for one in checks if one.name == "agreement between seeds"), None)


def get_test_record(run, store):
    return str(store.windows["record"].iloc[run.predictions("test").rows[0]])


def test_the_probabilities_are_the_stored_predictions(explainer, fusion, small_store):
    test = fusion.predictions("test")
    record = get_test_record(fusion, small_store)

    given = explainer.read_record(record, number=1)
    found = explainer.explain(given, method="gradient")

    assert given.split == "test"
    assert set(given.labels) == {c for c, y in zip(test.classes, test.y[0], strict=True) if y}
    np.testing.assert_allclose(found.p, test.p[0], rtol=1e-4, atol=1e-6)
    assert found.class_name in (found.decisions or fusion.classes)


def test_each_representation_with_bins_is_explained_and_checked(explainer, fusion, small_store):
    given = explainer.read_record(get_test_record(fusion, small_store))

    found = explainer.explain(given, method="integrated_gradients")

    *checked, tabular = found.inputs
    assert [one.name for one in checked] == ["signal", "frequency", "spectrogram"]
    assert (tabular.name, tabular.checks) == ("tabular", ())
    for one in checked:
        names = ["completeness", "weight randomization", "deletion", "insertion"]
        assert [check.name for check in one.checks][:4] == names
        assert sum(one.sum_leads().values()) == pytest.approx(1)
    length = fusion.contract.signal.n_samples / fusion.contract.signal.sampling_rate_hz
    assert 0 <= found.crop_start_s <= length - 2.0
    assert found.branches.branches == ("time", "frequency", "spectrogram", "tabular")
    assert found.branch_weights.kind == "mean gate"
    assert found.branch_checks[0].passed
    assert all(name in str(found.to_dict()) for name in fusion.caveats)


def test_a_file_gives_the_same_explanation_as_the_stored_window(
    explainer, fusion, small_store, folder
):
    given = explainer.read_record(get_test_record(fusion, small_store))
    path = folder / "record.npy"
    np.save(path, given.window.signal_mv)
    spec = fusion.contract.signal
    options = RecordOptions(sampling_rate_hz=spec.sampling_rate_hz, unit="mV", leads=spec.leads)

    read = explainer.read_record(path, options=options)

    assert read.split is None
    np.testing.assert_array_equal(read.window.steps, given.window.steps)


def test_the_class_is_the_predicted_one_with_the_highest_probability(fusion):
    contract = fusion.contract
    p = np.linspace(0.9, 0.1, len(contract.classes))

    assert choose_class(contract, p, contract.classes[1:], "") == contract.classes[1]
    assert choose_class(contract, p, [], "") == contract.classes[0]
    assert choose_class(contract, p, [], contract.classes[-1]) == contract.classes[-1]


@pytest.mark.parametrize(
    ("record", "settings", "error", "message"),
    [
        ("nothing", {}, DatasetError, "is not a record of"),
        ("", {"class_name": "Q"}, ExperimentError, "class='Q', expected one of"),
        ("", {"number": 99}, DatasetError, "Window 99 was asked for"),
        ("", {"options": RecordOptions(pad=True)}, DatasetError, "for files only"),
    ],
)
def test_what_cannot_be_explained_is_a_clear_error(
    explainer, fusion, small_store, record, settings, error, message
):
    with pytest.raises(error, match=message):
        explainer.read_record(record or get_test_record(fusion, small_store), **settings)


def test_without_its_dataset_a_run_explains_files_only(fusion):
    with pytest.raises(DatasetError, match="is not a file, and the dataset"):
        Explainer(fusion).read_record("100")


def test_trees_cannot_be_explained(small_store, folder):
    run = train_small(small_store, folder, branches={"handcrafted": "random_forest"})

    with pytest.raises(RunError, match="fitted trees"):
        Explainer(run, small_store)


def test_a_run_is_explained_with_its_dataset_only(fusion, small_class_store):
    with pytest.raises(RunError, match="was trained on"):
        find_stored_record(fusion, small_class_store, "1")


def test_the_splits_of_a_fold_are_those_of_its_predictions(fold_explanation):
    assert fold_explanation.split == "test"
    assert fold_explanation.fold == "fold 2 of 3"


def test_checks_of_several_inputs_are_those_of_each_alone():
    from class_score_helpers import make_target

    keras.utils.set_random_seed(0)
    inputs = [keras.Input((20, 3), name="first"), keras.Input((10, 3), name="second")]
    x = keras.layers.Concatenate()([keras.layers.Flatten()(one) for one in inputs])
    x = keras.layers.Dense(8, "tanh")(x)
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(x))
    target = make_target(model, {"first": make_noise(2, 20, 3), "second": make_noise(2, 10, 3)})
    found = METHODS["gradient"](target)

    together = check_attributions(target, found, ["first", "second"], "gradient")

    for name, checks in together.items():
        (alone,) = check_attributions(target, found, [name], "gradient").values()
        assert [one.figure for one in checks] == pytest.approx([one.figure for one in alone])


def test_runs_of_other_seeds_are_of_the_same_model_and_fold(fold_run, tmp_path):
    run = copy_run(fold_run, tmp_path, seed=0)
    for changes in ({"seed": 4}, {"seed": 2}, {"fold": 1, "seed": 1}, {"dropout": 0.4, "seed": 3}):
        copy_run(run, tmp_path, **changes)
    damaged = copy_run(run, tmp_path, seed=5)
    (damaged.path / "experiment.json").write_text("{")

    assert [other.seed for other in find_runs_of_other_seeds(run)] == [2, 4]


def test_equal_networks_agree_and_one_of_random_weights_does_not(fold_run, small_store, tmp_path):
    run = copy_run(fold_run, tmp_path, seed=0)
    record = get_test_record(fold_run, small_store)
    rng = np.random.default_rng(0)
    random = fold_run.load_network()
    random.set_weights([rng.permutation(x.ravel()).reshape(x.shape) for x in random.get_weights()])
    checks, notes = [], []

    for network in (fold_run.load_network(), random):
        shutil.rmtree(tmp_path / "copy_seed1", ignore_errors=True)
        copy_run(fold_run, tmp_path, network, seed=1)
        explainer = Explainer(run, small_store)
        found = explainer.explain(explainer.read_record(record))
        checks.append(get_agreement(found))
        notes.append(found.seeds_note)

    equal, other = checks
    assert equal.figure == pytest.approx(1, abs=0.01)  # with fewer steps
    assert equal.passed
    assert other.figure < equal.min_accepted
    assert not other.passed
    assert "agreement between seeds of the signal" in found.failed
    assert set(notes) == {"Agreement between seeds: with the seed 1."}


def test_without_other_seeds_an_explanation_says_what_the_check_needs(fold_explanation):
    note = fold_explanation.seeds_note

    assert get_agreement(fold_explanation) is None
    assert not any("agreement" in one for one in fold_explanation.failed)
    assert "it needs runs of this experiment with other seeds in the folder b" in note
