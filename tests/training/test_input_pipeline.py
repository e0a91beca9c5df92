import numpy as np
import pytest
import tensorflow as tf
from made import N_SAMPLES, short_source

from ecglib.datasets.writer import write_store
from ecglib.errors import ExperimentError
from ecglib.preprocessing.augmentation import build_augmentation
from ecglib.representations import build_representations
from ecglib.training import class_balance, input_pipeline


@pytest.fixture(scope="module")
def views(small_store):
    return build_representations(
        small_store.signal, ["time", "frequency", "spectrogram"], (0.5, 40.0), {}
    )


def collected(batches):
    parts = [(x, np.asarray(y)) for x, y in batches]
    names = parts[0][0]
    arrays = {name: np.concatenate([x[name] for x, _ in parts]) for name in names}
    return arrays, np.concatenate([y for _, y in parts])


def test_every_view_comes_from_its_own_window_with_its_own_label(small_store, views):
    """In shuffled order too: each row equals the view of the window that its label belongs to."""
    selection = small_store.select("letters").in_split("train")
    shuffled = input_pipeline.feed(small_store, selection, views, 7, shuffle_seed=1)
    arrays, y = collected(shuffled)
    expected = {k: np.asarray(v) for k, v in views(small_store.read(selection.rows)).items()}
    flat = expected["time"].reshape(len(y), -1)
    order = [int(np.abs(flat - own.ravel()).sum(axis=1).argmin()) for own in arrays["time"]]
    assert sorted(order) == list(range(len(y)))
    assert order != sorted(order)
    assert (y == selection.y[order]).all()
    for name, array in arrays.items():
        assert np.allclose(array, expected[name][order], atol=1e-4), name


def test_a_batch_that_is_kept_is_not_written_over(small_store):
    """The memory of a batch is used again, but not while a view of a part of it is left."""
    selection = small_store.select("letters")
    batches = input_pipeline.feed(small_store, selection, None, 8)
    kept = [np.asarray(x)[1:] for _ in range(3) for x, _ in batches]
    expected = small_store.read(selection.rows)
    expected = [expected[start : start + 8][1:] for start in range(0, len(expected), 8)]
    for own, right in zip(kept, 3 * expected, strict=True):
        np.testing.assert_array_equal(own, right)


def test_without_a_seed_the_order_is_that_of_the_selection(small_store, views):
    selection = small_store.select("letters").in_split("test")
    arrays, y = collected(input_pipeline.feed(small_store, selection, views, 4))
    assert (y == selection.y).all()
    expected = np.asarray(views(small_store.read(selection.rows))["time"])
    assert np.allclose(arrays["time"], expected, atol=1e-5)


def test_same_seed_same_order_and_a_new_order_in_each_pass(small_store, views):
    selection = small_store.select("letters").in_split("train")

    def passes():
        batches = input_pipeline.feed(small_store, selection, views, 8, shuffle_seed=5)
        return [collected(batches)[0]["time"] for _ in range(2)]

    first, second = passes(), passes()
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], first[1])


def test_weights_stay_with_their_windows(small_store, views):
    selection = small_store.select("letters").in_split("train")
    weights = 1.0 + selection.y[:, 0]
    batches = input_pipeline.feed(small_store, selection, views, 8, shuffle_seed=0, weights=weights)
    for _, y, w in batches:
        assert np.array_equal(np.asarray(w), 1.0 + np.asarray(y)[:, 0])


def test_shapes_are_known_before_any_data_is_read(small_store, views):
    selection = small_store.select("letters")
    spec = input_pipeline.feed(small_store, selection, views, 8).element_spec[0]
    assert {name: tuple(s.shape[1:]) for name, s in spec.items()} == {
        name: tuple(view.shape[1:]) for name, view in views.output.items()
    }


CROP = 100


@pytest.fixture(scope="module")
def padded_store(tmp_path_factory):
    return write_store(short_source(), tmp_path_factory.mktemp("data"), progress=False)


def signals_of(batches):
    return np.concatenate([np.asarray(x) for x, *_ in batches])


def places(dataset, rows, crops):
    """Row and offset of each crop, found by its samples."""
    windows = np.lib.stride_tricks.sliding_window_view(dataset.read(rows), crops.shape[1], axis=1)
    found = [np.argwhere((windows == crop.T).all(axis=(2, 3))) for crop in crops]
    return np.array([own[0] for own in found])


def test_random_crops_are_pieces_of_each_window_elsewhere_in_each_pass(small_store):
    selection = small_store.select("letters").in_split("test")

    def fed():
        batches = input_pipeline.feed(small_store, selection, None, 5, shuffle_seed=3, crop=CROP)
        return [signals_of(batches) for _ in range(2)]

    first, second = fed(), fed()
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    found = [places(small_store, selection.rows, own) for own in first]
    for own in found:
        assert sorted(own[:, 0]) == list(range(len(selection.rows)))
        assert len(set(own[:, 1])) > len(own) / 2
    assert not np.array_equal(*(own[own[:, 0].argsort(), 1] for own in found))


def test_crops_stay_within_what_was_measured(padded_store):
    selection = padded_store.select("letters")
    n_measured = padded_store.windows["n_measured"].to_numpy()[selection.rows]
    assert set(n_measured) == {60, 150, N_SAMPLES}
    last = np.maximum(n_measured - CROP, 0)
    reached = np.zeros(len(last), int)
    for seed in range(5):
        batches = input_pipeline.feed(
            padded_store, selection, None, 16, shuffle_seed=seed, crop=CROP
        )
        own = places(padded_store, selection.rows, signals_of(batches))
        assert (own[:, 1] <= last[own[:, 0]]).all()
        np.maximum.at(reached, *own.T)
    assert reached[n_measured == N_SAMPLES].max() > 250


def test_chances_draw_windows_that_often(small_store):
    """Windows 3 times as likely as the others come 3 times as often; the order is the seed's."""
    selection = small_store.select("letters")
    n = len(selection.rows)
    likely = np.arange(n) < n // 2
    sampling_weights = np.where(likely, 3.0, 1.0) * 0.1

    def drawn():
        batches = input_pipeline.feed(
            small_store,
            selection,
            None,
            32,
            0,
            weights=np.arange(n),
            sampling_weights=sampling_weights,
        )
        return np.concatenate([np.asarray(w) for _ in range(20) for *_, w in batches]).astype(int)

    first = drawn()
    assert np.array_equal(first, drawn())
    assert len(first) == 20 * n
    assert likely[first].mean() == pytest.approx(0.75, abs=0.05)
    assert len(set(first[:n])) < n


def test_balanced_chances_show_every_class_as_often():
    y = np.repeat(np.eye(3), [80, 15, 5], axis=0)
    assert np.allclose(class_balance.sampling_weights(y) @ y, 1 / 3)
    several = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [0, 0], [0, 0]])
    # Of six windows four show A, one B and two none: 3 x 6/4, 6/1 and 2 x 6/2.
    assert np.allclose(class_balance.sampling_weights(several) * 16.5, [1.5, 1.5, 1.5, 6, 3, 3])


@pytest.mark.parametrize("sampling_weights", [None, np.linspace(0.5, 1.5, 96)])
def test_workers_get_different_windows_in_equally_many_batches(small_store, sampling_weights):
    selection = small_store.select("letters")
    n, count = len(selection.rows), 5
    for _ in range(2):
        own = [
            input_pipeline.feed(
                *(small_store, selection, None, 4, 7, np.arange(n)),
                sampling_weights=None if sampling_weights is None else sampling_weights[:n],
                shard=(index, count),
            )
            for index in range(count)
        ]
        passes = [[np.concatenate([w for *_, w in b]).astype(int) for _ in range(2)] for b in own]
        assert {len(b) for b in own} == {-(-(n // count) // 4)}
        for number in range(2):
            dealt = [set(p[number]) for p in passes]
            assert all(len(p[number]) == n // count for p in passes)
            assert len(set().union(*dealt)) == sum(map(len, dealt))
        assert set(passes[0][0]) != set(passes[0][1])
    with pytest.raises(ExperimentError, match="expected \\(index, count\\)"):
        input_pipeline.feed(small_store, selection, None, 4, shard=(2, 2))


def test_all_views_see_the_same_augmented_signal(small_store, views):
    selection = small_store.select("letters").in_split("train")
    signal = small_store.signal

    def fed(through):
        augment = build_augmentation(signal, {"gain": {}, "noise": {"snr_db": 0}}, 5)
        return input_pipeline.feed(small_store, selection, through, 8, 1, augment=augment)

    signal_mv = signals_of(fed(None))
    assert not np.allclose(np.sort(signal_mv, axis=0), np.sort(small_store.read(selection.rows), 0))
    arrays, _ = collected(fed(views))
    for name, expected in views(signal_mv).items():
        assert np.allclose(arrays[name], expected, atol=1e-4), name


def test_an_augmented_feed_has_the_same_bits_for_the_same_seed(small_store):
    selection = small_store.select("letters").in_split("train")

    def fed(seed):
        options = {name: {"share": 0.5} for name in ("shift", "gain", "noise", "lead_dropout")}
        augment = build_augmentation(small_store.signal, options, seed)
        batches = input_pipeline.feed(small_store, selection, None, 8, 1, augment=augment)
        return [signals_of(batches) for _ in range(2)]

    first, second, other = fed(5), fed(5), fed(6)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_what_does_not_fit_is_refused(small_store, views):
    selection = small_store.select("letters")
    with pytest.raises(ExperimentError, match="400 samples, 100 would be fed"):
        input_pipeline.feed(small_store, selection, views, 4, 0, crop=CROP)
    with pytest.raises(ExperimentError, match="need a shuffle_seed"):
        input_pipeline.feed(small_store, selection, None, 4, crop=CROP)
    with pytest.raises(ExperimentError, match="fewer workers"):
        input_pipeline.feed(small_store, selection.take(slice(2)), None, 4, shard=(0, 3))


def test_threads_that_are_bounded_too_late_are_told(monkeypatch):
    tf.constant(1.0)
    before = tf.config.threading.get_intra_op_parallelism_threads()
    monkeypatch.setenv(input_pipeline.THREADS_VARIABLE, str(before + 1))
    with pytest.warns(UserWarning, match=f"ECGLIB_THREADS={before + 1} comes too late"):
        input_pipeline.configure(0)
    assert tf.config.threading.get_intra_op_parallelism_threads() == before
