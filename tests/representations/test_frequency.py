"""The methods of spectral estimation against SciPy in float64 and closed forms."""

import numpy as np
import pytest
from scipy import signal as scipy_signal
from scipy.signal import windows

from ecglib.errors import ExperimentError
from ecglib.representations import FrequencySpectrum


def noise(n_samples):
    return np.random.default_rng(1).normal(0.3, 1.0, (4, n_samples, 3))


def sine(frequency_hz, rate_hz=100, n_samples=1000, amplitude_mv=1.0):
    t = np.arange(n_samples) / rate_hz
    return (amplitude_mv * np.sin(2 * np.pi * frequency_hz * t + 0.4))[None, :, None]


@pytest.mark.parametrize(
    ("rate_hz", "n_samples", "resolution_hz", "n_segment"),
    [(100, 1000, 0.5, 400), (100, 1000, 0.0, 500), (360, 1081, 2.0, 360), (250, 777, 1.3, 385)],
)
def test_welch_equals_scipy(rate_hz, n_samples, resolution_hz, n_segment):
    x = noise(n_samples)
    layer = FrequencySpectrum(
        rate_hz, 3.0, 0, method="welch", resolution_hz=resolution_hz, dtype="float64"
    )
    # SciPy's "spectrum" scaling is the mean square of a sine, A**2 / 2, but at Nyquist.
    frequencies, power = scipy_signal.welch(
        x, rate_hz, "hann", n_segment, n_segment // 2, scaling="spectrum", axis=1
    )
    squared = power * np.where(2 * frequencies == rate_hz, 1, 2)[:, None]
    keep = frequencies >= 3.0 - 1e-9
    np.testing.assert_allclose(layer.compute_axes(n_samples)["frequency_hz"], frequencies[keep])
    np.testing.assert_allclose(
        np.asarray(layer(x)), 10 * np.log10(squared[:, keep] + 1e-6), atol=1e-8
    )


@pytest.mark.parametrize(
    ("rate_hz", "n_samples", "resolution_hz", "half_bandwidth", "n_tapers"),
    [
        (100, 1000, 0.5, 5, 9),
        (100, 1000, 0.0, 4, 7),
        (360, 1080, 1.0, 3, 5),
        (100, 1000, 0.2, 2, 3),
    ],
)
def test_multitaper_equals_the_mean_over_the_tapers(
    rate_hz, n_samples, resolution_hz, half_bandwidth, n_tapers
):
    x = noise(n_samples)
    layer = FrequencySpectrum(
        rate_hz, 3.0, 40.0, method="multitaper", resolution_hz=resolution_hz, dtype="float64"
    )
    centered = x - x.mean(axis=1, keepdims=True)
    # The powers and those of a sine of 1 mV, taper by taper.
    power, sine_power = 0.0, 0.0
    for taper in windows.dpss(n_samples, half_bandwidth, n_tapers):
        power = power + np.abs(np.fft.fft(centered * taper[:, None], axis=1)) ** 2
        sine_power += np.sum(taper / 2) ** 2
    frequencies = np.arange(n_samples) * rate_hz / n_samples
    keep = (frequencies >= 3 - 1e-9) & (frequencies <= 40 + 1e-9)
    np.testing.assert_allclose(layer.compute_axes(n_samples)["frequency_hz"], frequencies[keep])
    expected = 10 * np.log10(power[:, keep] / sine_power + 1e-6)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-8)


@pytest.mark.parametrize("method", ["window", "welch", "multitaper"])
@pytest.mark.parametrize("amplitude_mv", [1.0, 0.02])
def test_a_sine_has_its_amplitude_in_every_method(method, amplitude_mv):
    layer = FrequencySpectrum(100, method=method, dtype="float64")
    spectrum = np.asarray(layer(sine(12.0, amplitude_mv=amplitude_mv) + 5))[0, :, 0]
    distance_hz = abs(layer.compute_axes(1000)["frequency_hz"] - 12.0)
    at = distance_hz.argmin()
    assert spectrum[at] == pytest.approx(10 * np.log10(amplitude_mv**2 + 1e-6), abs=1e-3)
    away = distance_hz > 1.01 * layer.compute_resolution(1000)
    assert spectrum[away].max() < spectrum[at] - 20  # the last taper leaks most


@pytest.mark.parametrize("method", ["window", "welch", "multitaper"])
def test_noise_has_its_density_times_the_noise_bandwidth(method):
    # White noise of 1 mV has 1 / 50 mV^2/Hz at 100 Hz.
    layer = FrequencySpectrum(100, 1.0, 49.0, method=method, dtype="float64")
    x = np.random.default_rng(2).normal(size=(500, 1000, 1))
    squared = np.mean(10 ** (np.asarray(layer(x)) / 10))
    if method == "multitaper":
        tapers = windows.dpss(1000, 4, 7)
        bandwidth_hz = 100 * 7 / np.sum(tapers.sum(axis=1) ** 2)
    else:
        bandwidth_hz = 1.5 * 100 / layer.compute_segment_length(1000)
    assert squared / 2 / bandwidth_hz == pytest.approx(1 / 50, rel=0.02)


def test_averaging_reduces_the_variance_of_the_estimate():
    x = np.random.default_rng(2).normal(size=(200, 1000, 1))
    spread = {
        method: np.std(np.asarray(FrequencySpectrum(100, 1.0, method=method)(x.astype(np.float32))))
        for method in ("window", "welch", "multitaper")
    }
    # A power of n degrees of freedom spreads by about 4.34 * sqrt(2 / n) dB or more.
    assert spread["window"] == pytest.approx(5.57, abs=0.2)  # of a chi square with 2
    assert spread["welch"] < 3.6
    assert spread["multitaper"] == pytest.approx(1.70, abs=0.15)  # with 14


@pytest.mark.parametrize("n_samples", [1000, 999])
def test_the_phase_is_that_of_a_cosine_around_the_middle(n_samples):
    layer = FrequencySpectrum(100, phase=True, dtype="float64")
    at = 37
    frequency_hz = layer.compute_axes(n_samples)["frequency_hz"][at]
    t = np.arange(n_samples) / 100 - n_samples / 200
    x = np.stack([np.cos(2 * np.pi * frequency_hz * t + a) for a in (0.0, 0.7, -2.0)], axis=1)
    found = np.asarray(layer(x[None]))[0, at]
    np.testing.assert_allclose(found[:3], 0.0, atol=1e-4)
    np.testing.assert_allclose(found[3:6], np.cos([0.0, 0.7, -2.0]), atol=1e-6)
    np.testing.assert_allclose(found[6:], np.sin([0.0, 0.7, -2.0]), atol=1e-6)


def test_the_phases_come_after_the_amplitudes_of_all_leads():
    x = noise(1000).astype(np.float32)
    with_phase = FrequencySpectrum(100, phase=True)
    found = np.asarray(with_phase(x))
    assert found.shape == with_phase.compute_output_shape(x.shape) == (4, 396, 9)
    np.testing.assert_array_equal(found[..., :3], np.asarray(FrequencySpectrum(100)(x)))
    below_one = 1e-6 / 10 ** (found[..., :3] / 10)  # the fraction of the floor in the power
    np.testing.assert_allclose(found[..., 3:6] ** 2 + found[..., 6:] ** 2, 1 - below_one, atol=1e-3)
    silent = np.asarray(with_phase(np.zeros((1, 1000, 1), np.float32)))
    np.testing.assert_array_equal(silent[..., 1:], 0)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: FrequencySpectrum(100, method="welsh"), ["'welsh'", "'welch'"]),
        (lambda: FrequencySpectrum(100, resolution_hz=1), ["method='window'", "resolution_hz=1"]),
        (lambda: FrequencySpectrum(100, method="welch", phase=True), ["phase=True", "'welch'"]),
        (lambda: FrequencySpectrum(100, phase=1), ["phase=1"]),
        (
            lambda: FrequencySpectrum(100, method="welch", resolution_hz=0.1).compute_axes(1000),
            [
                "10 s",
                "resolution_hz=0.1",
                "a window of 20 s",
                "resolution_hz to 0.2 or more",
                "0.4",
            ],
        ),
        (
            lambda: FrequencySpectrum(100, method="multitaper", resolution_hz=1).compute_axes(1000),
            ["'multitaper' resolves 1 Hz", "low_hz=0.5", "low_hz to 1.0", "resolution_hz to 0.5"],
        ),
        (
            lambda: FrequencySpectrum(100, method="welch").compute_axes(600),
            ["0.6667 Hz", "0.667 or more"],
        ),
        (
            lambda: FrequencySpectrum(100, 0, 2.9, method="welch", resolution_hz=6).compute_axes(
                1000
            ),
            ["no bin", "high_hz to 2.942"],
        ),
    ],
)
def test_errors_name_what_was_given_and_the_remedy(build, words):
    with pytest.raises(ExperimentError) as error:
        build()
    for word in words:
        assert word in str(error.value)
