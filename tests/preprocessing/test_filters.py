"""The filters against scipy.signal and closed forms."""

import keras
import numpy as np
import pytest
import pywt
from backends import compute_gradient
from keras import ops
from scipy import signal as scipy_signal

from ecglib.errors import ExperimentError
from ecglib.preprocessing import MAX_MATRIX_SAMPLES, BandPass, Notch, WaveletDenoise


def ecg_like(rate_hz: float, seconds: float, n_windows: int = 3) -> np.ndarray:
    """Beats on a wandering baseline with an offset, in mV: (n_windows, n_samples, 2)."""
    rng = np.random.default_rng(0)
    n = round(rate_hz * seconds)
    t = np.arange(n) / rate_hz
    windows = []
    for _ in range(n_windows):
        beats = sum(
            a * np.exp(-(((t - 0.2) % 0.83 - at) ** 2) / (2 * width**2))
            for a, at, width in ((0.1, 0.2, 0.03), (1.2, 0.36, 0.012), (-0.3, 0.4, 0.01))
        )
        wander = np.cumsum(rng.normal(0, 0.3 / np.sqrt(rate_hz), n))
        lead = beats + wander + rng.normal(0, 0.02, n) + 1.5
        windows.append(np.stack([lead, 0.5 - lead**2 / 4], axis=1))
    return np.stack(windows)


def sosfiltfilt(signal, rate_hz, edges, kind, order=3, pad_s=30.0):
    """Filter with SciPy after an odd extension that is so long that its ends have no effect."""
    pad = round(pad_s * rate_hz)
    wide = np.pad(signal, ((0, 0), (pad, pad), (0, 0)), mode="reflect", reflect_type="odd")
    sos = scipy_signal.butter(order, edges, kind, fs=rate_hz, output="sos")
    return scipy_signal.sosfiltfilt(sos, wide, axis=1, padtype=None)[:, pad:-pad]


@pytest.mark.parametrize(
    ("rate_hz", "seconds"),
    [(100, 10), (500, 10), (360, 3), (128, 3.7), (100, 2.57), (500, 2.57), (600, 2)],
)
@pytest.mark.parametrize(
    ("low_hz", "high_hz", "kind", "edges"),
    [
        (0.5, 40.0, "bandpass", [0.5, 40.0]),
        (0.5, 0.0, "highpass", 0.5),
        (0.0, 30.0, "lowpass", 30.0),
        (5.0, 15.0, "bandpass", [5.0, 15.0]),
    ],
)
def test_equals_sosfiltfilt_in_float64(rate_hz, seconds, low_hz, high_hz, kind, edges):
    x = ecg_like(rate_hz, seconds)
    y = np.asarray(BandPass(rate_hz, low_hz, high_hz, dtype="float64")(x))
    assert y.dtype == np.float64
    # 1e-4 mV is a tenth of a step of the store. Matrices are exact; so are, but for the float32 in
    # which Keras on JAX transforms, windows too short for an FFT of another length.
    atol = 1e-6 if seconds < 4 and low_hz == 0.5 else 1e-4
    atol = 1e-9 if x.shape[1] <= MAX_MATRIX_SAMPLES else atol
    np.testing.assert_allclose(y, sosfiltfilt(x, rate_hz, edges, kind), atol=atol)


def test_equals_sosfiltfilt_with_the_longest_padding_that_it_accepts():
    x = ecg_like(100, 10)  # n_samples - 1 samples on each side
    sos = scipy_signal.butter(3, [0.5, 40], "bandpass", fs=100, output="sos")
    expected = scipy_signal.sosfiltfilt(sos, x, axis=1, padlen=x.shape[1] - 1)
    y = np.asarray(BandPass(100, 0.5, 40, dtype="float64")(x))
    np.testing.assert_allclose(y, expected, atol=1e-4)


@pytest.mark.parametrize("rate_hz", [100, 500])
def test_float32_loses_less_than_a_step_of_the_store(rate_hz):
    x = ecg_like(rate_hz, 10)
    y = np.asarray(BandPass(rate_hz, 0.5, 40)(x.astype(np.float32)))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, sosfiltfilt(x, rate_hz, [0.5, 40], "bandpass"), atol=1e-4)


def test_gain_is_a_half_at_the_edges_and_phase_is_zero():
    t = np.arange(3000) / 100
    x = np.stack([np.sin(2 * np.pi * f * t) for f in (2.0, 10.0, 30.0)], axis=1)[None]
    y = np.asarray(BandPass(100, 2.0, 30.0, dtype="float64")(x))
    inside = slice(500, -500)
    gains = np.sum(y * x, axis=1)[0] / np.sum(x * x, axis=1)[0]
    np.testing.assert_allclose(gains, [0.5, 1.0, 0.5], atol=5e-3)
    np.testing.assert_allclose(y[:, inside, 1], x[:, inside, 1], atol=1e-3)


def test_with_both_edges_open_the_window_stays_as_it_is():
    x = ecg_like(100, 3).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(BandPass(100, 0, 0)(x)), x)


def test_constant_and_slope_go_to_zero():
    ramp = np.linspace(-3, 5, 400)[None, :, None]
    assert np.abs(np.asarray(BandPass(100, 0.5, 40, dtype="float64")(ramp))).max() < 1e-12


def test_mixed_precision_policy_does_not_reach_the_filter():
    x = ecg_like(100, 3).astype(np.float32)
    expected = np.asarray(BandPass(100, 0.5, 40)(x))
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        y = np.asarray(BandPass(100, 0.5, 40)(x))
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_array_equal(y, expected)


def test_band_pass_survives_saving(tmp_path):
    window = keras.Input((300, 2))
    model = keras.Model(window, BandPass(100, 0.7, 30, order=2)(window))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    x = ecg_like(100, 3).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.layers[1].get_config() == model.layers[1].get_config()
    assert loaded.layers[1].order == 2


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: BandPass(100, 0.5, 50),
            ["high_hz=50", "Nyquist frequency of 50 Hz", "below 50 Hz"],
        ),
        (lambda: BandPass(100, 0.5, 60), ["high_hz=60", "more than 120 Hz", "high_hz=0"]),
        (lambda: BandPass(100, 70, 0), ["low_hz=70", "Nyquist frequency of 50 Hz"]),
        (
            lambda: BandPass(100, 40, 0.5),
            ["low_hz=40", "high_hz=0.5", "below the Nyquist frequency of 50 Hz"],
        ),
        (lambda: BandPass(100, 5, 5), ["`low_hz=5` must be below `high_hz=5`"]),
        (lambda: BandPass(100, -1, 40), ["low_hz", "-1"]),
        (lambda: BandPass(100, float("nan"), 40), ["low_hz", "nan"]),
        (lambda: BandPass(100, 0.5, "40"), ["high_hz", "'40'"]),
        (lambda: BandPass(0, 0.5, 40), ["sampling_rate", "above 0"]),
        (lambda: BandPass(100, 0.5, 40, 0), ["order", "0"]),
        (lambda: BandPass(100, 0.5, 40, 2.5), ["order", "2.5"]),
    ],
)
def test_errors_name_what_was_given_and_the_remedy(build, words):
    with pytest.raises(ExperimentError) as error:
        build()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("shape", [(None, 2), (None, None, 2), (None, 1, 2), (4, 100, 2, 1)])
def test_the_shape_of_the_windows_is_checked(shape):
    with pytest.raises(ExperimentError, match="n_windows, n_samples, n_leads"):
        BandPass(100, 0.5, 40).compute_output_shape(shape)


@pytest.mark.parametrize("order", [1, 2, 5, 10])
@pytest.mark.parametrize(("low_hz", "high_hz"), [(0.5, 40), (0.5, 0), (0, 49), (10, 10.5)])
def test_gain_is_that_of_the_digital_butterworth_filter(low_hz, high_hz, order):
    kind = "bandpass" if low_hz and high_hz else "highpass" if low_hz else "lowpass"
    edges = [low_hz, high_hz] if kind == "bandpass" else low_hz or high_hz
    frequencies = np.linspace(0, 50, 501)
    z, p, k = scipy_signal.butter(order, edges, kind, fs=100, output="zpk")
    _, response = scipy_signal.freqz_zpk(z, p, k, frequencies, fs=100)
    gain = BandPass(100, low_hz, high_hz, order=order).compute_gain(frequencies)
    np.testing.assert_allclose(gain, np.abs(response) ** 2, atol=1e-6)


def test_gradients_reach_the_signal_through_the_filter():
    # The filter is linear and, but for its ends, symmetric: filtering the gradient of a sum of
    # squares' half is filtering the output once more.
    layer = BandPass(100, 2, 30, dtype="float64")
    x = ecg_like(100, 20)
    inside = slice(500, -500)
    twice = np.asarray(layer(layer(x)))[:, inside]
    found = compute_gradient(lambda x: ops.sum(layer(x) ** 2) / 2, x)
    np.testing.assert_allclose(found[:, inside], twice, atol=1e-3)


@pytest.mark.parametrize(
    ("rate_hz", "mains_hz", "harmonics"),
    [
        (500, 50, [50, 100, 150, 200]),
        (360, 60, [60, 120]),
        (128, 50, [50]),
        (1000, 60, range(60, 500, 60)),
    ],
)
def test_notch_equals_filtfilt_at_every_harmonic(rate_hz, mains_hz, harmonics):
    x = ecg_like(rate_hz, 4)
    layer = Notch(rate_hz, mains_hz, dtype="float64")
    np.testing.assert_allclose(layer.compute_harmonics_hz(), harmonics)
    pad = round(30 * rate_hz)
    wide = np.pad(x, ((0, 0), (pad, pad), (0, 0)), mode="reflect", reflect_type="odd")
    for harmonic in harmonics:
        b, a = scipy_signal.iirnotch(harmonic, harmonic / 2.0, fs=rate_hz)
        wide = scipy_signal.filtfilt(b, a, wide, axis=1, padlen=0)
    np.testing.assert_allclose(np.asarray(layer(x)), wide[:, pad:-pad], atol=1e-4)
    in_float32 = np.asarray(Notch(rate_hz, mains_hz)(x.astype(np.float32)))
    np.testing.assert_allclose(in_float32, wide[:, pad:-pad], atol=1e-4)


def test_notch_removes_the_mains_and_keeps_the_beats():
    rate_hz = 500
    t = np.arange(5000) / rate_hz
    mains = sum(a * np.sin(2 * np.pi * f * t + 1) for f, a in ((50, 0.3), (100, 0.1), (150, 0.2)))
    x = ecg_like(rate_hz, 10)
    y = np.asarray(Notch(rate_hz, 50, dtype="float64")(x + mains[None, :, None]))
    error = y - np.asarray(Notch(rate_hz, 50, dtype="float64")(x))
    assert np.abs(error[:, 500:-500]).max() < 1e-3
    # The sharpest wave is 10 ms wide: the notches remove a few hundredths of its 1.2 mV.
    assert np.abs(y - x)[:, 500:-500].std() < 0.01
    assert abs(y.mean() - x.mean()) < 1e-3


def test_notch_has_a_gain_of_a_half_at_half_its_width_and_keeps_0_hz():
    frequencies_hz = np.array([0.0, 48.5, 50.0, 51.5, 75.0, 100.0, 250.0])
    gain = Notch(500, 50, width_hz=3.0).compute_gain(frequencies_hz)
    np.testing.assert_allclose(gain, [1, 0.5, 0, 0.5, 1, 0, 1], atol=0.02)
    ramp = np.linspace(-3, 5, 400)[None, :, None]
    np.testing.assert_allclose(np.asarray(Notch(500, 50, dtype="float64")(ramp)), ramp, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Notch(100, 50), ["mains_hz=50", "Nyquist frequency of 50 Hz", "Omit the notch"]),
        (lambda: Notch(500, 0), ["mains_hz", "at least 1 Hz"]),
        (lambda: Notch(500, 50, 0), ["width_hz"]),
        (lambda: Notch(500, 50, 50), ["width_hz=50", "mains_hz=50", "1 to 2 Hz"]),
    ],
)
def test_notch_errors_name_what_was_given_and_the_remedy(build, words):
    with pytest.raises(ExperimentError) as error:
        build()
    for word in words:
        assert word in str(error.value)


def test_notch_survives_saving(tmp_path):
    window = keras.Input((300, 2))
    model = keras.Model(window, Notch(250, 60, width_hz=1.5)(window))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    x = ecg_like(250, 1.2).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.layers[1].get_config() == model.layers[1].get_config()
    assert loaded.layers[1].width_hz == 1.5


def denoise_with_pywavelets(lead, wavelet, n_levels):
    coefficients = pywt.wavedec(lead, wavelet, mode="symmetric", level=n_levels)
    threshold = np.median(np.abs(coefficients[-1])) / 0.6745 * np.sqrt(2 * np.log(len(lead)))
    denoised = [pywt.threshold(detail, threshold, "soft") for detail in coefficients[1:]]
    return pywt.waverec([coefficients[0], *denoised], wavelet, mode="symmetric")[: len(lead)]


@pytest.mark.parametrize(
    ("rate_hz", "n_samples", "low_hz", "wavelet", "n_levels"),
    [
        (100, 1000, 4.0, "sym4", 3),
        (500, 2501, 4.0, "sym8", 5),
        (360, 999, 20.0, "db6", 3),
        (120, 480, 30.0, "haar", 1),
    ],
)
def test_wavelet_denoising_equals_pywavelets(rate_hz, n_samples, low_hz, wavelet, n_levels):
    x = ecg_like(rate_hz, n_samples / rate_hz)
    layer = WaveletDenoise(rate_hz, low_hz, wavelet, dtype="float64")
    assert layer.n_levels == n_levels
    y = np.asarray(layer(x))
    for window in range(3):
        for lead in range(2):
            expected = denoise_with_pywavelets(x[window, :, lead], wavelet, n_levels)
            np.testing.assert_allclose(y[window, :, lead], expected, atol=1e-8)
    in_float32 = np.asarray(WaveletDenoise(rate_hz, low_hz, wavelet)(x.astype(np.float32)))
    np.testing.assert_allclose(in_float32, y, atol=1e-4)
    one = np.asarray(layer(x[1:2, :, 1:]))
    np.testing.assert_allclose(one[0, :, 0], y[1, :, 1], atol=1e-12)


def test_wavelet_denoising_halves_the_noise_and_keeps_the_beats():
    t = np.arange(5000) / 500
    after_s = (t % 0.83) - 0.4
    clean = (1.2 * np.exp(-(after_s**2) / (2 * 0.015**2)))[None, :, None]
    noisy = clean + np.random.default_rng(0).normal(0, 0.05, clean.shape)
    denoised = np.asarray(WaveletDenoise(500, low_hz=12.0, dtype="float64")(noisy))
    error = denoised - clean
    assert error.std() < 0.025
    assert error[:, abs(after_s) > 0.1].std() < 0.018
    # A soft threshold lowers peaks by a few standard deviations of the noise.
    assert denoised.max() > 1.05


def test_wavelet_denoising_has_a_gradient_on_silence():
    layer, x = WaveletDenoise(100), np.zeros((2, 400, 3), np.float32)
    np.testing.assert_array_equal(np.asarray(layer(x)), 0)
    assert np.all(np.isfinite(compute_gradient(lambda x: ops.sum(layer(x)), x)))


def test_wavelet_denoising_survives_saving(tmp_path):
    window = keras.Input((300, 2))
    model = keras.Model(window, WaveletDenoise(100, 12.0, "db4")(window))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    x = ecg_like(100, 3).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.layers[1].get_config() == model.layers[1].get_config()
    assert (loaded.layers[1].low_hz, loaded.layers[1].wavelet) == (12.0, "db4")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: WaveletDenoise(100, 30), ["low_hz=30", "50 Hz", "low_hz to 25 or less"]),
        (lambda: WaveletDenoise(100, 0), ["low_hz"]),
        (lambda: WaveletDenoise(100, wavelet="sim4"), ["'sim4'", "'sym4'"]),
        (
            lambda: WaveletDenoise(100, 1.0).compute_output_shape((None, 120, 2)),
            ["5 octaves", "need 224 samples", "has 120", "low_hz to 3.125 or more"],
        ),
        (
            lambda: WaveletDenoise(100, 25).compute_output_shape((None, 9, 2)),
            ["Use windows of 14"],
        ),
    ],
)
def test_wavelet_denoising_errors_name_what_was_given_and_the_remedy(build, words):
    with pytest.raises(ExperimentError) as error:
        build()
    for word in words:
        assert word in str(error.value)
