import numpy as np
import pytest
from helpers import N_SAMPLES, make_short_source

from ecglib.datasets.writer import write_store
from ecglib.errors import ExperimentError
from ecglib.preprocessing.augmentation import build_augmentation
from ecglib.representations import build_representations
from ecglib.training.augmentation import BatchAugmentation
from ecglib.training.class_balance import compute_sampling_weights
from ecglib.training.epoch_order import BatchOptions, Shard
from ecglib.training.input_pipeline import make_batches


@pytest.fixture(scope="module")
def representations(small_store):
    return build_representations(
        small_store.signal, ["time", "frequency", "spectrogram"], (0.5, 40.0), {}
    )


def collect(batches):
    parts = [(x, np.asarray(y)) for x, y in batches]
    names = parts[0][0]
    arrays = {name: np.concatenate([x[name] for x, _ in parts]) for name in names}
    return arrays, np.concatenate([y for _, y in parts])


def test_every_representation_comes_from_the_window_of_its_label(small_store, representations):
    """Also in shuffled order: each row is the representation of the window of its label."""
    selection = small_store.select("letters").in_split("train")
    shuffled = make_batches(
        small_store, selection, representations, 7, BatchOptions(shuffle_seed=1)
    )
    arrays, y = collect(shuffled)
    expected = {
        k: np.asarray(v) for k, v in representations(small_store.read(selection.rows)).items()
    }
    flat = expected["time"].reshape(len(y), -1)
    order = [int(np.abs(flat - window.ravel()).sum(axis=1).argmin()) for window in arrays["time"]]
    assert sorted(order) == list(range(len(y)))
    assert order != sorted(order)
    assert (y == selection.y[order]).all()
    for name, array in arrays.items():
        assert np.allclose(array, expected[name][order], atol=1e-4), name


def test_a_batch_that_is_kept_is_not_overwritten(small_store):
    """The memory of a batch is used again, but not while a part of it is still in use."""
    selection = small_store.select("letters")
    batches = make_batches(small_store, selection, None, 8)
    kept = [np.asarray(x)[1:] for _ in range(3) for x, _ in batches]
    expected = small_store.read(selection.rows)
    expected = [expected[start : start + 8][1:] for start in range(0, len(expected), 8)]
    for batch, right in zip(kept, 3 * expected, strict=True):
        np.testing.assert_array_equal(batch, right)


def test_without_a_seed_the_order_is_that_of_the_selection(small_store, representations):
    selection = small_store.select("letters").in_split("test")
    arrays, y = collect(make_batches(small_store, selection, representations, 4))
    assert (y == selection.y).all()
    expected = np.asarray(representations(small_store.read(selection.rows))["time"])
    assert np.allclose(arrays["time"], expected, atol=1e-5)


def test_same_seed_same_order_and_a_new_order_in_each_epoch(small_store, representations):
    selection = small_store.select("letters").in_split("train")

    def make_epochs():
        batches = make_batches(
            small_store, selection, representations, 8, BatchOptions(shuffle_seed=5)
        )
        return [collect(batches)[0]["time"] for _ in range(2)]

    first, second = make_epochs(), make_epochs()
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], first[1])


def test_weights_stay_with_their_windows(small_store, representations):
    selection = small_store.select("letters").in_split("train")
    weights = 1.0 + selection.y[:, 0]
    batches = make_batches(
        small_store, selection, representations, 8, BatchOptions(shuffle_seed=0, weights=weights)
    )
    for _, y, w in batches:
        assert np.array_equal(np.asarray(w), 1.0 + np.asarray(y)[:, 0])


def test_shapes_are_known_before_any_data_is_read(small_store, representations):
    selection = small_store.select("letters")
    spec = make_batches(small_store, selection, representations, 8).element_spec[0]
    assert {name: tuple(s.shape[1:]) for name, s in spec.items()} == {
        name: tuple(x.shape[1:]) for name, x in representations.output.items()
    }


CROP = 100


@pytest.fixture(scope="module")
def padded_store(tmp_path_factory):
    return write_store(make_short_source(), tmp_path_factory.mktemp("data"), progress=False)


def collect_signals(batches):
    return np.concatenate([np.asarray(x) for x, *_ in batches])


def find_places(dataset, rows, crops):
    """Row and offset of each crop, found by its samples."""
    windows = np.lib.stride_tricks.sliding_window_view(dataset.read(rows), crops.shape[1], axis=1)
    found = [np.argwhere((windows == crop.T).all(axis=(2, 3))) for crop in crops]
    return np.array([places[0] for places in found])


def test_random_crops_are_pieces_of_each_window_at_other_places_in_each_epoch(small_store):
    selection = small_store.select("letters").in_split("test")

    def make():
        batches = make_batches(
            small_store, selection, None, 5, BatchOptions(shuffle_seed=3, crop=CROP)
        )
        return [collect_signals(batches) for _ in range(2)]

    first, second = make(), make()
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    found = [find_places(small_store, selection.rows, crops) for crops in first]
    for places in found:
        assert sorted(places[:, 0]) == list(range(len(selection.rows)))
        assert len(set(places[:, 1])) > len(places) / 2
    by_row = [places[places[:, 0].argsort(), 1] for places in found]
    assert not np.array_equal(by_row[0], by_row[1])


def test_crops_stay_within_what_was_measured(padded_store):
    selection = padded_store.select("letters")
    n_measured = padded_store.windows["n_measured"].to_numpy()[selection.rows]
    assert set(n_measured) == {60, 150, N_SAMPLES}
    last = np.maximum(n_measured - CROP, 0)
    reached = np.zeros(len(last), int)
    for seed in range(5):
        batches = make_batches(
            padded_store, selection, None, 16, BatchOptions(shuffle_seed=seed, crop=CROP)
        )
        places = find_places(padded_store, selection.rows, collect_signals(batches))
        assert (places[:, 1] <= last[places[:, 0]]).all()
        np.maximum.at(reached, places[:, 0], places[:, 1])
    assert reached[n_measured == N_SAMPLES].max() > 250


def test_windows_are_drawn_in_proportion_to_their_weights(small_store):
    """Windows 3 times as likely as the others come 3 times as often; the order is the seed's."""
    selection = small_store.select("letters")
    n = len(selection.rows)
    likely = np.arange(n) < n // 2
    sampling_weights = np.where(likely, 3.0, 1.0) * 0.1

    def draw():
        batches = make_batches(
            small_store,
            selection,
            None,
            32,
            BatchOptions(shuffle_seed=0, weights=np.arange(n), sampling_weights=sampling_weights),
        )
        return np.concatenate([np.asarray(w) for _ in range(20) for *_, w in batches]).astype(int)

    first = draw()
    assert np.array_equal(first, draw())
    assert len(first) == 20 * n
    assert likely[first].mean() == pytest.approx(0.75, abs=0.05)
    assert len(set(first[:n])) < n


def test_balanced_sampling_shows_every_class_as_often():
    y = np.repeat(np.eye(3), [80, 15, 5], axis=0)
    assert np.allclose(compute_sampling_weights(y) @ y, 1 / 3)
    several = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [0, 0], [0, 0]])
    # Of six windows four show A, one B and two none: 3 x 6/4, 6/1 and 2 x 6/2.
    assert np.allclose(compute_sampling_weights(several) * 16.5, [1.5, 1.5, 1.5, 6, 3, 3])


@pytest.mark.parametrize("sampling_weights", [None, np.linspace(0.5, 1.5, 96)])
def test_workers_get_different_windows_in_equally_many_batches(small_store, sampling_weights):
    selection = small_store.select("letters")
    n, count = len(selection.rows), 5
    for _ in range(2):
        workers = [
            make_batches(
                small_store,
                selection,
                None,
                4,
                BatchOptions(
                    shuffle_seed=7,
                    weights=np.arange(n),
                    sampling_weights=None if sampling_weights is None else sampling_weights[:n],
                    shard=Shard(index, count),
                ),
            )
            for index in range(count)
        ]
        epochs = [
            [np.concatenate([w for *_, w in b]).astype(int) for _ in range(2)] for b in workers
        ]
        assert {len(b) for b in workers} == {-(-(n // count) // 4)}
        for number in range(2):
            windows = [set(p[number]) for p in epochs]
            assert all(len(p[number]) == n // count for p in epochs)
            assert len(set().union(*windows)) == sum(map(len, windows))
        assert set(epochs[0][0]) != set(epochs[0][1])
    with pytest.raises(ExperimentError, match="index=2 of 2 workers must be from 0 to 1"):
        Shard(2, 2)


def test_all_representations_see_the_same_augmented_signal(small_store, representations):
    selection = small_store.select("letters").in_split("train")
    signal = small_store.signal

    def make(through):
        augmentation = build_augmentation(signal, {"gain": {}, "noise": {"snr_db": 0}}, 5)
        options = BatchOptions(shuffle_seed=1, augment=BatchAugmentation(augmentation, None))
        return make_batches(small_store, selection, through, 8, options)

    signal_mv = collect_signals(make(None))
    assert not np.allclose(np.sort(signal_mv, axis=0), np.sort(small_store.read(selection.rows), 0))
    arrays, _ = collect(make(representations))
    for name, expected in representations(signal_mv).items():
        assert np.allclose(arrays[name], expected, atol=1e-4), name


def test_augmented_batches_have_the_same_bits_for_the_same_seed(small_store):
    selection = small_store.select("letters").in_split("train")

    def make(seed):
        options = {
            name: {"probability": 0.5} for name in ("shift", "gain", "noise", "lead_dropout")
        }
        augment = BatchAugmentation(build_augmentation(small_store.signal, options, seed), None)
        batches = make_batches(
            small_store, selection, None, 8, BatchOptions(shuffle_seed=1, augment=augment)
        )
        return [collect_signals(batches) for _ in range(2)]

    first, second, other = make(5), make(5), make(6)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_what_does_not_fit_is_refused(small_store, representations):
    selection = small_store.select("letters")
    with pytest.raises(ExperimentError, match="400 samples, but these have 100"):
        make_batches(
            small_store, selection, representations, 4, BatchOptions(shuffle_seed=0, crop=CROP)
        )
    with pytest.raises(ExperimentError, match="need a shuffle_seed"):
        make_batches(small_store, selection, None, 4, BatchOptions(crop=CROP))
    with pytest.raises(ExperimentError, match="fewer workers"):
        make_batches(
            small_store, selection.take(slice(2)), None, 4, BatchOptions(shard=Shard(0, 3))
        )
