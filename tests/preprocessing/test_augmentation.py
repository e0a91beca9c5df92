import inspect

import keras
import numpy as np
import pytest

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import ExperimentError
from ecglib.experiment.registry import AUGMENTATIONS
from ecglib.preprocessing.augmentation import (
    Augmentation,
    build_augmentation,
    compute_signal_mask,
    find_augmentation,
)

RATE_HZ = 100.0
SIGNAL = SignalSpec(RATE_HZ, 500, ("I", "II", "III"))


@pytest.fixture(scope="module")
def windows():
    """Noise of 0.1 to 1 mV around an offset, in which lead III is II - I."""
    rng = np.random.default_rng(0)
    deviations = np.exp(rng.uniform(np.log(0.1), 0, (300, 1, 1)))
    x = 0.2 + deviations * rng.standard_normal((300, 500, 3))
    x[..., 2] = x[..., 1] - x[..., 0]
    return x.astype(np.float32)


def augment(x, name, seed=0, **options):
    layer = find_augmentation(name)(RATE_HZ, seed=seed, **options)
    return np.asarray(layer(x, training=True))


@pytest.mark.parametrize("name", AUGMENTATIONS)
class TestEach:
    def test_only_training_windows_are_augmented(self, name, windows):
        layer = find_augmentation(name)(RATE_HZ)
        assert np.array_equal(layer(windows), windows)
        assert np.array_equal(layer(windows, training=False), windows)
        assert not np.array_equal(layer(windows, training=True), windows)

    def test_the_same_seed_gives_the_same_bits_and_each_call_draws_new_values(self, name, windows):
        layer, twin = (find_augmentation(name)(RATE_HZ, seed=3) for _ in range(2))
        first, second = layer(windows, training=True), layer(windows, training=True)
        assert np.array_equal(first, twin(windows, training=True))
        assert np.array_equal(second, twin(windows, training=True))
        assert not np.array_equal(first, second)
        assert not np.array_equal(first, augment(windows, name, seed=4))

    def test_a_window_is_augmented_with_the_given_probability(self, name, windows):
        some = (augment(windows, name, probability=0.3) != windows).any(axis=(1, 2)).mean()
        all_windows = (augment(windows, name) != windows).any(axis=(1, 2)).mean()
        assert some == pytest.approx(0.3 * all_windows, abs=0.1)
        assert np.array_equal(augment(windows, name, probability=0), windows)

    def test_it_reloads_with_its_settings(self, name, windows, tmp_path):
        """A loaded layer draws what the saved one would have drawn: its state is a weight."""
        layer = find_augmentation(name)(RATE_HZ, seed=5, probability=0.5)
        model = keras.Sequential([keras.Input((500, 3)), layer])
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
        assert loaded.layers[0].get_config() == layer.get_config()
        expected = np.asarray(model(windows, training=True))
        assert np.array_equal(loaded(windows, training=True), expected)

    def test_its_configuration_mirrors_its_arguments(self, name):
        names = set(inspect.signature(find_augmentation(name)).parameters) - {"kwargs"}
        assert names < set(find_augmentation(name)(RATE_HZ).get_config())


@pytest.mark.parametrize("name", ["shift", "gain", "time_mask"])
def test_augmentations_of_the_whole_body_keep_the_law_of_einthoven(name, windows):
    x = augment(windows, name)
    assert np.allclose(x[..., 2], x[..., 1] - x[..., 0], atol=1e-5)


@pytest.mark.parametrize("snr_db", [-5.0, 10.0, 25.0])
def test_noise_has_the_given_ratio_in_every_lead(snr_db, windows):
    noise = augment(windows, "noise", snr_db=snr_db).astype(float) - windows
    found = 10 * np.log10(windows.var(axis=1) / noise.var(axis=1))
    assert found.mean() == pytest.approx(snr_db, abs=0.1)
    assert found.std() < 0.5
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02
    spectrum = np.square(np.abs(np.fft.rfft(noise / noise.std(axis=1, keepdims=True), axis=1)))
    low, high = spectrum[:, 1:125].mean(), spectrum[:, 125:250].mean()
    assert low / high == pytest.approx(1, abs=0.03)  # white


def test_padding_stays_padding_and_does_not_change_the_ratio(windows):
    padded = windows.copy()
    padded[:, 200:] = 0
    for name in ("gain", "noise", "baseline_wander", "lead_dropout"):
        assert not augment(padded, name)[:, 200:].any()
    noise = augment(padded, "noise", snr_db=10)[:, :200].astype(float) - padded[:, :200]
    found = 10 * np.log10(padded[:, :200].var(axis=1) / noise.var(axis=1))
    assert found.mean() == pytest.approx(10, abs=0.1)


def test_the_baseline_wanders_slowly_with_one_frequency_per_window(windows):
    x = np.tile(windows, (1, 8, 1))  # 40 s: a resolution of 0.025 Hz
    wander = augment(x, "baseline_wander", max_mv=0.5, low_hz=0.2, high_hz=0.4) - x
    assert np.abs(wander).max() <= 0.5 + 1e-5
    spectrum = np.abs(np.fft.rfft(wander * np.hanning(4000)[:, None], axis=1))
    at_hz = spectrum.argmax(axis=1) * RATE_HZ / 4000
    assert at_hz.min() >= 0.2 - 0.026
    assert at_hz.max() <= 0.4 + 0.026
    assert (np.ptp(at_hz, axis=1) < 0.026).all()
    amplitudes = np.abs(wander).max(axis=1)
    assert (np.ptp(amplitudes, axis=1) > 0.01).mean() > 0.9


def test_the_gain_is_within_its_bounds_and_the_same_for_all_leads(windows):
    ratio = augment(windows, "gain", max_db=6.0) / windows
    db = 20 * np.log10(ratio.mean(axis=(1, 2)))
    assert np.allclose(ratio, ratio[:, :1, :1], rtol=1e-3)
    assert -6.01 < db.min() < -5
    assert 5 < db.max() < 6.01


def test_leads_are_lost_at_the_given_rate_and_never_all(windows):
    x = augment(windows, "lead_dropout", rate=0.3)
    lost = ~x.any(axis=1)
    assert lost.mean() == pytest.approx(0.3, abs=0.06)
    assert not lost.all(axis=1).any()
    stays = ~np.broadcast_to(lost[:, None], x.shape)
    assert np.array_equal(x[stays], windows[stays])
    n_lost = (~augment(windows, "lead_dropout", rate=1.0).any(axis=1)).sum(axis=1)
    assert n_lost.tolist() == [2] * 300


def test_one_stretch_is_masked_in_all_leads(windows):
    x = augment(windows, "time_mask", max_s=1.0)
    masked = (x == 0).all(axis=2)
    assert np.array_equal(x[~masked], windows[~masked])
    lengths = masked.sum(axis=1)
    assert 90 <= lengths.max() <= 101
    runs = np.abs(np.diff(np.pad(masked, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1)
    assert set(runs) <= {0, 2}


def test_a_shift_moves_all_leads_and_repeats_the_last_sample(windows):
    x = augment(windows, "shift", max_s=0.2)
    found = set()
    for shifted, window in zip(x, windows, strict=True):
        for shift in range(-20, 21):
            at = np.clip(np.arange(500) - shift, 0, 499)
            if np.array_equal(shifted, window[at]):
                found.add(shift)
                break
        else:
            raise AssertionError("no shift of at most 20 samples")
    assert len(found) > 35


def test_every_name_in_the_registry_is_an_augmentation_layer():
    layers = [find_augmentation(name) for name in AUGMENTATIONS]
    assert all(issubclass(layer, Augmentation) for layer in layers)
    assert len(set(layers)) == len(layers)


def test_the_order_is_that_of_the_registry_whatever_that_of_the_options(windows):
    options = {"lead_dropout": {"rate": 0.5}, "noise": {}, "gain": {}}
    model = build_augmentation(SIGNAL, options, 7)
    assert [layer.name for layer in model.layers[1:]] == ["gain", "noise", "lead_dropout"]
    again = build_augmentation(SIGNAL, dict(reversed(options.items())), 7)
    first, second = model(windows, training=True), again(windows, training=True)
    assert np.array_equal(first, second)
    assert (~np.asarray(first).any(axis=1)).any()  # noise after it would fill a lost lead
    assert np.array_equal(model(windows), windows)
    assert build_augmentation(SIGNAL, {}, 7) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nois": {}}, "Did you mean 'noise'"),
        ({"noise": {"snr": 3}}, r"no option 'snr'. Its options: snr_db, probability"),
        ({"noise": {"snr_db": "3"}}, "`snr_db='3'` must be a number"),
        ({"gain": {"probability": 1.4}}, r"`probability=1.4` must be between 0 and 1"),
        ({"lead_dropout": {"rate": 2}}, r"`rate=2` must be between 0 and 1"),
        ({"baseline_wander": {"high_hz": 60}}, "Nyquist frequency of 50 Hz"),
        ({"time_mask": {"max_s": -1}}, "`max_s=-1` must be a number of at least 0 s"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(options, words):
    with pytest.raises(ExperimentError, match=words):
        build_augmentation(SIGNAL, options, 0)


def test_a_flat_lead_gets_no_noise_and_no_nan():
    flat = np.zeros((2, 500, 3), np.float32)
    flat[0, :, 0] = 1.0
    for name in AUGMENTATIONS:
        assert np.isfinite(augment(flat, name)).all()
    assert np.array_equal(augment(flat, "noise"), flat)
    assert compute_signal_mask(flat).shape == (2, 500, 1)
