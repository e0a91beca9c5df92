import json

import numpy as np
import pytest
from helpers import LEADS, RATE_HZ
from scipy.signal import periodogram
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.multioutput import MultiOutputClassifier

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import BASELINES
from ecglib.experiment.settings import InputSettings
from ecglib.training import trees
from ecglib.training.trees import TreeSettings


@pytest.fixture(scope="module")
def handcrafted(small_store):
    selection = small_store.select("letters")
    return selection, *trees.compute_handcrafted(small_store, selection)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(trees, "N_TREES", 30)
    monkeypatch.setattr(trees, "N_ROUNDS", 20)


def get_split(handcrafted, split):
    selection, x, _ = handcrafted
    return x[selection.part == split], selection.y[selection.part == split]


def test_each_value_has_a_name_and_stands_in_the_order_of_the_selection(handcrafted, small_store):
    selection, x, names = handcrafted
    assert x.shape == (len(selection.rows), len(names))
    assert x.dtype == np.float32
    assert len(set(names)) == len(names)
    age = small_store.windows["age"].to_numpy()[selection.rows]
    np.testing.assert_array_equal(x[:, names.index("age")], age.astype(np.float32))
    assert np.isnan(age).any()
    some = selection.take([5, 2, 40])
    again, _ = trees.compute_handcrafted(small_store, some)
    np.testing.assert_allclose(again, x[[5, 2, 40]], atol=1e-4)


def test_the_values_of_a_lead_are_those_of_numpy_and_scipy(handcrafted, small_store):
    """Without a filter, the samples themselves; a band is the mean of a periodogram."""
    selection, *_ = handcrafted
    x, names = trees.compute_handcrafted(small_store, selection, InputSettings(band_hz=(0, 0)))
    own_mv = small_store.read(selection.rows)[:, :, LEADS.index("V1")].astype(np.float64)
    of = dict(zip(names, x.T, strict=True))
    np.testing.assert_allclose(of["V1_max_mv"], own_mv.max(axis=1), atol=1e-3)
    np.testing.assert_allclose(of["V1_sd_mv"], own_mv.std(axis=1), atol=1e-3)
    hz, power = periodogram(own_mv, RATE_HZ, "hann", scaling="spectrum")
    name = next(n for n in names if n.startswith("V1") and n.endswith("-50_hz_db"))
    low_hz = float(name.removeprefix("V1_").split("-")[0])
    band = power[:, (hz >= low_hz - 1e-6) & (hz < 50)]  # at Nyquist an amplitude is another
    expected = 10 * np.log10(2 * band.mean(axis=1))
    np.testing.assert_allclose(of[name], expected, atol=0.3)


def test_blocks_do_not_matter(handcrafted, small_store, monkeypatch):
    selection, x, _ = handcrafted
    monkeypatch.setattr(trees, "BLOCK_VALUES", 7 * small_store.signal.n_samples * len(LEADS))
    np.testing.assert_allclose(trees.compute_handcrafted(small_store, selection)[0], x, atol=1e-4)


@pytest.mark.parametrize("name", BASELINES)
def test_each_baseline_tells_slow_from_fast_waves(handcrafted, name):
    model = trees.fit_trees(
        *get_split(handcrafted, "train"), TreeSettings(name=name, kind="multi_label")
    )
    x, y = get_split(handcrafted, "test")
    assert roc_auc_score(y, trees.predict_trees(model, x, 2, "multi_label")) > 0.9


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
def test_equal_values_give_the_same_trees(name, kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[np.digitize(x[:, 0] + rng.normal(size=120) / 2, [-0.5, 0.5])]
    x[::4, 0] = np.nan
    p = [
        trees.predict_trees(
            trees.fit_trees(x, y, TreeSettings(name=name, kind=kind, seed=seed)), x, 3, kind
        )
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(p[0], p[1])
    if name == "random_forest":  # boosting draws nothing on so few windows
        assert not np.array_equal(p[0], p[2])
    if kind == "multi_class":
        np.testing.assert_allclose(p[0].sum(axis=1), 1, atol=1e-5)


def test_the_trees_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4)).astype(np.float32)
    label = rng.integers(0, 3, 90)
    y, weights = np.eye(3, dtype=np.float32)[label], rng.uniform(0.5, 2, 90)
    fitted = trees.fit_trees(
        x, y, TreeSettings(name="random_forest", kind="multi_class", seed=7), weights
    )
    expected = RandomForestClassifier(
        30, min_samples_leaf=trees.MIN_SAMPLES_LEAF, random_state=7
    ).fit(x, label, weights)
    p = trees.predict_trees(fitted, x, 3, "multi_class")
    np.testing.assert_allclose(p, expected.predict_proba(x), atol=1e-6)

    fitted = trees.fit_trees(
        x, y, TreeSettings(name="gradient_boosting", kind="multi_label", seed=7), weights
    )
    p = trees.predict_trees(fitted, x, 3, "multi_label")
    for k in range(3):
        expected = HistGradientBoostingClassifier(
            learning_rate=trees.LEARNING_RATE,
            max_iter=20,
            max_leaf_nodes=trees.MAX_LEAF_NODES,
            early_stopping=False,
            random_state=7,
        ).fit(x, label == k, weights)
        np.testing.assert_allclose(p[:, k], expected.predict_proba(x)[:, 1], atol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_a_class_that_no_training_window_has_gets_the_probability_0(name):
    x = np.arange(60, dtype=np.float32)[:, None]
    y = np.eye(3, dtype=np.float32)[np.where(x[:, 0] < 30, 0, 2)]
    model = trees.fit_trees(x, y, TreeSettings(name=name, kind="multi_class"))
    p = trees.predict_trees(model, x, 3, "multi_class")
    assert (p[:, 1] == 0).all()
    assert (p.argmax(axis=1) == y.argmax(axis=1)).all()


@pytest.mark.parametrize("name", BASELINES)
def test_one_label_alone(name):
    x = np.arange(60, dtype=np.float32)[:, None]
    model = trees.fit_trees(x, x > 29, TreeSettings(name=name, kind="multi_label"))
    p = trees.predict_trees(model, x, 1, "multi_label")
    assert p.shape == (60, 1)
    assert ((p > 0.5) == (x > 29)).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_value_that_no_training_window_has_is_not_used(name):
    x = np.stack([np.arange(60), np.full(60, np.nan)], axis=1).astype(np.float32)
    y = np.eye(2, dtype=np.float32)[(x[:, 0] > 29).astype(int)]
    model = trees.fit_trees(x, y, TreeSettings(name=name, kind="multi_class"))
    later = np.nan_to_num(x, nan=5.0)
    p = [trees.predict_trees(model, values, 2, "multi_class") for values in (x, later)]
    np.testing.assert_array_equal(p[0], p[1])
    assert (p[0].argmax(axis=1) == y.argmax(axis=1)).all()


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
def test_nodes_are_those_that_the_trees_have(name, kind):
    """A tree that splits in two has a node less inside than it has leaves."""
    x = np.arange(90, dtype=np.float32)[:, None]
    y = np.eye(3, dtype=np.float32)[np.arange(90) // 30]
    fitted = trees.fit_trees(x, y, TreeSettings(name=name, kind=kind))
    if name == "random_forest":
        expected = sum(2 * tree.get_n_leaves() - 1 for tree in fitted.estimators_)
    else:
        each = fitted.estimators_ if kind == "multi_label" else [fitted]
        leaves = [t.get_n_leaf_nodes() for one in each for ts in one._predictors for t in ts]
        assert len(leaves) == 3 * 20
        expected = sum(2 * n - 1 for n in leaves)
    assert trees.count_nodes(fitted) == expected


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
def test_the_description_gives_the_same_trees(handcrafted, name, kind):
    """What a run holds is enough: scikit-learn alone fits the same trees from it."""
    import sklearn.ensemble

    x, y = get_split(handcrafted, "train")
    x = x[:, np.isfinite(x).any(axis=0)]
    y = y if kind == "multi_label" else np.stack([y[:, 0], 1 - y[:, 0]], axis=1)
    fitted = trees.fit_trees(x, y, TreeSettings(name=name, kind=kind, seed=3))
    description = json.loads(json.dumps(trees.describe_trees(fitted, handcrafted[2])))
    assert description["inputs"] == handcrafted[2]
    again = getattr(sklearn.ensemble, description["estimator"])(**description["settings"])
    again = MultiOutputClassifier(again) if description["one_for_each_class"] else again
    again.fit(x, y if kind == "multi_label" else y.argmax(axis=1))
    p = [trees.predict_trees(one, x, 2, kind) for one in (fitted, again)]
    np.testing.assert_array_equal(*p)


def test_the_number_of_threads_decides_speed_only(handcrafted, monkeypatch):
    x, y = get_split(handcrafted, "train")
    p = []
    for threads in ("1", "2"):
        monkeypatch.setenv("ECGLIB_THREADS", threads)
        fitted = trees.fit_trees(x, y, TreeSettings(name="random_forest", kind="multi_label"))
        assert fitted.n_jobs == int(threads)
        p.append(trees.predict_trees(fitted, x, 2, "multi_label"))
    np.testing.assert_array_equal(*p)


def test_filters_come_before_the_handcrafted_inputs(handcrafted, small_store):
    selection, x, names = handcrafted
    notched, _ = trees.compute_handcrafted(small_store, selection, InputSettings(notch_hz=20.0))
    (column,) = [k for k, n in enumerate(names) if n.startswith("I_13.5-")]
    assert (notched[:, column] < x[:, column]).all()
    quiet, _ = trees.compute_handcrafted(small_store, selection, InputSettings(denoise=True))
    sd = names.index("V1_sd_mv")
    assert (quiet[:, sd] < x[:, sd]).all()


@pytest.mark.slow
def test_windows_around_beats_show_the_beat(mitdb_store):
    selection = mitdb_store.select("aami").take(slice(None, None, 500))
    x, names = trees.compute_handcrafted(mitdb_store, selection)
    of = dict(zip(names, x.T, strict=True))
    assert tuple(names[: len(mitdb_store.default_tabular)]) == mitdb_store.default_tabular
    # A window begins 2.5 s before its beat, and its R peak is the greatest of the profile.
    profile = [n for n in names if n.startswith("MLII_at_")]
    mean = [np.abs(of[n]).mean() for n in profile]
    steepest_s = float(profile[int(np.argmax(mean))].split("_")[2])
    assert abs(steepest_s - 2.5) <= 0.04


def test_what_does_not_fit_is_refused():
    x, y = np.zeros((4, 2), np.float32), np.eye(2)[[0, 1, 0, 1]]
    with pytest.raises(ExperimentError, match="Did you mean 'random_forest'"):
        TreeSettings(name="random_forrest", kind="multi_class")
    with pytest.raises(ExperimentError, match="x has 4 windows and y has 3"):
        trees.fit_trees(x, y[:3], TreeSettings(name="random_forest", kind="multi_class"))
