import inspect

import keras
import numpy as np
import pytest

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import ExperimentError
from ecglib.preprocessing import augmentation
from ecglib.preprocessing.augmentation import AUGMENTATIONS, build_augmentation

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


def changed(x, name, seed=0, **options):
    layer = AUGMENTATIONS[name](RATE_HZ, seed=seed, **options)
    return np.asarray(layer(x, training=True))


@pytest.mark.parametrize("name", AUGMENTATIONS)
class TestEach:
    def test_only_training_windows_are_changed(self, name, windows):
        layer = AUGMENTATIONS[name](RATE_HZ)
        assert np.array_equal(layer(windows), windows)
        assert np.array_equal(layer(windows, training=False), windows)
        assert not np.array_equal(layer(windows, training=True), windows)

    def test_same_seed_same_bits_and_each_call_draws_anew(self, name, windows):
        one, two = AUGMENTATIONS[name](RATE_HZ, seed=3), AUGMENTATIONS[name](RATE_HZ, seed=3)
        first, second = one(windows, training=True), one(windows, training=True)
        assert np.array_equal(first, two(windows, training=True))
        assert np.array_equal(second, two(windows, training=True))
        assert not np.array_equal(first, second)
        assert not np.array_equal(first, changed(windows, name, seed=4))

    def test_a_share_of_the_windows_is_changed(self, name, windows):
        differs = (changed(windows, name, share=0.3) != windows).any(axis=(1, 2)).mean()
        whole = (changed(windows, name) != windows).any(axis=(1, 2)).mean()
        assert differs == pytest.approx(0.3 * whole, abs=0.1)
        assert np.array_equal(changed(windows, name, share=0), windows)

    def test_it_reloads_with_its_settings(self, name, windows, tmp_path):
        """Loaded, it goes on drawing where the saved one would have: the state is a weight."""
        own = AUGMENTATIONS[name](RATE_HZ, seed=5, share=0.5)
        model = keras.Sequential([keras.Input((500, 3)), own])
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
        assert loaded.layers[0].get_config() == own.get_config()
        expected = np.asarray(model(windows, training=True))
        assert np.array_equal(loaded(windows, training=True), expected)

    def test_its_configuration_mirrors_its_arguments(self, name):
        names = set(inspect.signature(AUGMENTATIONS[name]).parameters) - {"kwargs"}
        assert names < set(AUGMENTATIONS[name](RATE_HZ).get_config())


@pytest.mark.parametrize("name", ["shift", "gain", "time_mask"])
def test_what_concerns_the_whole_body_keeps_the_law_of_einthoven(name, windows):
    x = changed(windows, name)
    assert np.allclose(x[..., 2], x[..., 1] - x[..., 0], atol=1e-5)


@pytest.mark.parametrize("snr_db", [-5.0, 10.0, 25.0])
def test_noise_has_the_ratio_asked_for_in_every_lead(snr_db, windows):
    noise = changed(windows, "noise", snr_db=snr_db).astype(float) - windows
    found = 10 * np.log10(windows.var(axis=1) / noise.var(axis=1))
    assert found.mean() == pytest.approx(snr_db, abs=0.1)
    assert found.std() < 0.5
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02
    spectrum = np.square(np.abs(np.fft.rfft(noise / noise.std(axis=1, keepdims=True), axis=1)))
    low, high = spectrum[:, 1:125].mean(), spectrum[:, 125:250].mean()
    assert low / high == pytest.approx(1, abs=0.03)  # white


def test_padding_stays_padding_and_does_not_count_for_the_ratio(windows):
    padded = windows.copy()
    padded[:, 200:] = 0
    for name in ("gain", "noise", "baseline_wander", "lead_dropout"):
        assert not changed(padded, name)[:, 200:].any()
    noise = changed(padded, "noise", snr_db=10)[:, :200].astype(float) - padded[:, :200]
    found = 10 * np.log10(padded[:, :200].var(axis=1) / noise.var(axis=1))
    assert found.mean() == pytest.approx(10, abs=0.1)


def test_the_baseline_wanders_slowly_with_one_frequency_a_window(windows):
    x = np.tile(windows, (1, 8, 1))  # 40 s: a resolution of 0.025 Hz
    wander = changed(x, "baseline_wander", max_mv=0.5, low_hz=0.2, high_hz=0.4) - x
    assert np.abs(wander).max() <= 0.5 + 1e-5
    spectrum = np.abs(np.fft.rfft(wander * np.hanning(4000)[:, None], axis=1))
    at_hz = spectrum.argmax(axis=1) * RATE_HZ / 4000
    assert at_hz.min() >= 0.2 - 0.026
    assert at_hz.max() <= 0.4 + 0.026
    assert (np.ptp(at_hz, axis=1) < 0.026).all()
    amplitudes = np.abs(wander).max(axis=1)
    assert (np.ptp(amplitudes, axis=1) > 0.01).mean() > 0.9


def test_gain_is_within_its_decibels_and_one_for_all_leads(windows):
    ratio = changed(windows, "gain", max_db=6.0) / windows
    db = 20 * np.log10(ratio.mean(axis=(1, 2)))
    assert np.allclose(ratio, ratio[:, :1, :1], rtol=1e-3)
    assert -6.01 < db.min() < -5
    assert 5 < db.max() < 6.01


def test_leads_are_lost_at_the_rate_and_never_all(windows):
    x = changed(windows, "lead_dropout", rate=0.3)
    lost = ~x.any(axis=1)
    assert lost.mean() == pytest.approx(0.3, abs=0.06)
    assert not lost.all(axis=1).any()
    assert np.array_equal(x[~np.broadcast_to(lost[:, None], x.shape)],
                          windows[~np.broadcast_to(lost[:, None], x.shape)])  # fmt: skip
    assert (~changed(windows, "lead_dropout", rate=1.0).any(axis=1)).sum(axis=1).tolist() == (
        [2] * 300
    )


def test_one_stretch_is_masked_in_all_leads(windows):
    x = changed(windows, "time_mask", max_s=1.0)
    masked = (x == 0).all(axis=2)
    assert np.array_equal(x[~masked], windows[~masked])
    lengths = masked.sum(axis=1)
    assert 90 <= lengths.max() <= 101
    runs = np.abs(np.diff(np.pad(masked, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1)
    assert set(runs) <= {0, 2}


def test_a_shift_moves_all_leads_and_holds_the_end(windows):
    x = changed(windows, "shift", max_s=0.2)
    found = set()
    for own, window in zip(x, windows, strict=True):
        for by in range(-20, 21):
            at = np.clip(np.arange(500) - by, 0, 499)
            if np.array_equal(own, window[at]):
                found.add(by)
                break
        else:
            raise AssertionError("no shift of at most 20 samples")
    assert len(found) > 35


def test_the_order_is_that_of_the_module_whatever_the_options_say(windows):
    options = {"lead_dropout": {"rate": 0.5}, "noise": {}, "gain": {}}
    model = build_augmentation(SIGNAL, options, 7)
    assert [layer.name for layer in model.layers[1:]] == ["gain", "noise", "lead_dropout"]
    again = build_augmentation(SIGNAL, dict(reversed(options.items())), 7)
    first, second = model(windows, training=True), again(windows, training=True)
    assert np.array_equal(first, second)
    assert (~np.asarray(first).any(axis=1)).any()  # noise would fill a lead that was lost before
    assert np.array_equal(model(windows), windows)
    assert build_augmentation(SIGNAL, {}, 7) is None


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ({"nois": {}}, "Did you mean 'noise'"),
        ({"noise": {"snr": 3}}, r"no option 'snr'. Its options: snr_db, share"),
        ({"noise": {"snr_db": "3"}}, "snr_db must be a number"),
        ({"gain": {"share": 1.5}}, "share=1.5 is no share"),
        ({"lead_dropout": {"rate": 2}}, "rate=2 is no share"),
        ({"baseline_wander": {"high_hz": 60}}, "Nyquist frequency of 50 Hz"),
        ({"time_mask": {"max_s": -1}}, "max_s must be a number of at least 0 s"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(augment, words):
    with pytest.raises(ExperimentError, match=words):
        build_augmentation(SIGNAL, augment, 0)


def test_noise_needs_no_special_window():
    """A flat lead gets no noise, and nothing is NaN."""
    flat = np.zeros((2, 500, 3), np.float32)
    flat[0, :, 0] = 1.0
    for name in AUGMENTATIONS:
        assert np.isfinite(changed(flat, name)).all()
    assert np.array_equal(changed(flat, "noise"), flat)
    assert augmentation.measured(flat).shape == (2, 500, 1)
