import numpy as np
import pytest

from ecglib import pipeline
from ecglib.representations import build_views


@pytest.fixture(scope="module")
def views(small_store):
    return build_views(small_store.signal, ["time", "frequency", "spectrogram"], (0.5, 40.0), {})


def collected(batches):
    parts = [(x, np.asarray(y)) for x, y in batches]
    names = parts[0][0]
    arrays = {name: np.concatenate([x[name] for x, _ in parts]) for name in names}
    return arrays, np.concatenate([y for _, y in parts])


def test_every_view_comes_from_its_own_window_with_its_own_label(small_store, views):
    """In shuffled order too: each row equals the view of the window that its label belongs to."""
    selection = small_store.select("letters").of("train")
    shuffled = pipeline.feed(small_store, selection, views, 7, shuffle_seed=1)
    arrays, y = collected(shuffled)
    expected = {k: np.asarray(v) for k, v in views(small_store.read(selection.rows)).items()}
    flat = expected["time"].reshape(len(y), -1)
    order = [int(np.abs(flat - own.ravel()).sum(axis=1).argmin()) for own in arrays["time"]]
    assert sorted(order) == list(range(len(y)))
    assert order != sorted(order)
    assert (y == selection.y[order]).all()
    for name, array in arrays.items():
        assert np.allclose(array, expected[name][order], atol=1e-4), name


def test_without_a_seed_the_order_is_that_of_the_selection(small_store, views):
    selection = small_store.select("letters").of("test")
    arrays, y = collected(pipeline.feed(small_store, selection, views, 4))
    assert (y == selection.y).all()
    expected = np.asarray(views(small_store.read(selection.rows))["time"])
    assert np.allclose(arrays["time"], expected, atol=1e-5)


def test_same_seed_same_order_and_a_new_order_in_each_pass(small_store, views):
    selection = small_store.select("letters").of("train")

    def passes():
        batches = pipeline.feed(small_store, selection, views, 8, shuffle_seed=5)
        return [collected(batches)[0]["time"] for _ in range(2)]

    first, second = passes(), passes()
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], first[1])


def test_weights_stay_with_their_windows(small_store, views):
    selection = small_store.select("letters").of("train")
    weights = 1.0 + selection.y[:, 0]
    batches = pipeline.feed(small_store, selection, views, 8, shuffle_seed=0, weights=weights)
    for _, y, w in batches:
        assert np.array_equal(np.asarray(w), 1.0 + np.asarray(y)[:, 0])


def test_shapes_are_known_before_any_data_is_read(small_store, views):
    selection = small_store.select("letters")
    spec = pipeline.feed(small_store, selection, views, 8).element_spec[0]
    assert {name: tuple(s.shape[1:]) for name, s in spec.items()} == {
        name: tuple(view.shape[1:]) for name, view in views.output.items()
    }
