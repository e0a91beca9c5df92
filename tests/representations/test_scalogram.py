"""The scalogram against a direct convolution, PyWavelets, closed forms and a real record."""

import numpy as np
import pytest
from helpers import find_shared_data
from scipy import signal as scipy_signal
from scipy.fft import next_fast_len

from ecglib.errors import ExperimentError
from ecglib.representations import Scalogram


def compute_power(layer, x):
    """Compute the mean power of each frame, in mV^2, without the floor."""
    return 10 ** (np.asarray(layer(x)) / 10) - layer.floor_mv**2


def extend(lead, half_period, n_around):
    """Reflect oddly about the line through the ends, extended on it up to half the period."""
    line = np.linspace(lead[0], lead[-1], len(lead))
    held = np.pad(lead - line, (0, half_period + 1 - len(lead)))
    return np.pad(held, (n_around, n_around), mode="reflect", reflect_type="odd")


def compute_power_directly(lead, layer, frequency_hz, points_in_a_hop):
    """Compute the power on a grid from the start of the first frame to the end of the last.

    The integral of signal times wavelet is a plain sum over the samples, for each point.
    """
    rate_hz, n_frames = layer.sampling_rate, layer.count_frames(len(lead))
    # A Gaussian of the deviation f / w0 over frequency is one of w0 / (2 pi f) over time.
    deviation_s = layer.w0 / (2 * np.pi * frequency_hz)
    reach = int(np.ceil(7 * deviation_s * rate_hz))
    # Half a period: whole hops of 2, 3 and 5, so that the FFT is fast.
    half_period = layer.n_hop * next_fast_len(-(-len(lead) // layer.n_hop), real=True)
    x = extend(lead, half_period, reach)
    grid = np.arange(n_frames * points_in_a_hop + 1) * layer.n_hop / points_in_a_hop
    t = (grid[:, None] - np.arange(-reach, len(x) - reach)) / rate_hz
    t = np.where(abs(t) < 7 * deviation_s, t, np.inf)
    envelope = 2 / (np.sqrt(2 * np.pi) * deviation_s) * np.exp(-((t / deviation_s) ** 2) / 2)
    turn = np.exp(2j * np.pi * frequency_hz * np.where(np.isfinite(t), t, 0))
    return np.abs((envelope * turn) @ x / rate_hz) ** 2


@pytest.mark.parametrize(
    ("rate_hz", "n_samples", "high_hz", "hop_s", "w0"),
    [
        (100, 500, 20.0, 0.08, 6.0),
        (100, 497, 20.0, 0.16, 5.0),
        (200, 600, 45.0, 0.04, 6.0),
        (120, 480, 24.0, 0.05, 8.0),
    ],
)
def test_equals_the_mean_of_a_direct_sum_in_float64(rate_hz, n_samples, high_hz, hop_s, w0):
    x = np.random.default_rng(1).normal(0.3, 1.0, (2, n_samples, 2))
    layer = Scalogram(rate_hz, 0.0, high_hz, 2, hop_s, w0, dtype="float64")
    found = compute_power(layer, x)[1, :, :, 0]
    for bin_, frequency_hz in enumerate(layer.compute_frequencies_hz(n_samples)):
        fine = compute_power_directly(x[1, :, 0], layer, frequency_hz, 12)
        ends = np.stack([fine[k : -12 + k : 12] if k < 12 else fine[12::12] for k in range(13)])
        expected = np.trapezoid(ends, axis=0) / 12
        # The layer takes a frame's mean over few points: 5 % of the loudest frame, 0.2 dB.
        np.testing.assert_allclose(found[:, bin_], expected, atol=0.05 * expected.max())
        assert found[:, bin_].mean() == pytest.approx(expected.mean(), rel=0.01)


def test_a_frame_of_one_sample_equals_a_direct_sum_closely():
    # Two parts in a frame: the trapezoidal rule on three points.
    x = np.random.default_rng(1).normal(0.3, 1.0, (1, 400, 1))
    layer = Scalogram(100, 0.0, 20.0, 3, hop_s=0.01, dtype="float64")
    found = compute_power(layer, x)[0, :, :, 0]
    for bin_, frequency_hz in enumerate(layer.compute_frequencies_hz(400)):
        fine = compute_power_directly(x[0, :, 0], layer, frequency_hz, 2)
        expected = (fine[:-2:2] + 2 * fine[1:-1:2] + fine[2::2]) / 4
        np.testing.assert_allclose(found[:, bin_], expected, atol=1e-3 * expected.max())


def test_equals_pywavelets_away_from_the_ends():
    pywt = pytest.importorskip("pywt")
    rate_hz, n = 200, 4000
    x = np.random.default_rng(2).normal(size=n)
    layer = Scalogram(rate_hz, 2.0, 25.0, 4, hop_s=0.01, dtype="float64")
    frequencies = layer.compute_frequencies_hz(n)
    # PyWavelets' complex Morlet has the deviation sqrt(B / 2) at C cycles a second.
    wavelet = f"cmor{2 * (6.0 / (2 * np.pi)) ** 2:.12f}-1.0"
    scales = rate_hz / frequencies
    coefficients, _ = pywt.cwt(x, scales, wavelet, method="fft", precision=16)
    # L2 to L1 normalization; twice for the negative frequencies, which it leaves out; and it
    # averages the wavelet over each sample, which damps by a sinc and shifts by half a sample.
    factor = 2 / np.sqrt(scales) / np.sinc(frequencies / rate_hz)
    squared = np.abs(factor[:, None] * coefficients) ** 2
    expected = ((squared[:, :-2:2] + 2 * squared[:, 1:-1:2] + squared[:, 2::2]) / 4).T
    found = compute_power(layer, x[None, :, None])[0, : len(expected), :, 0]
    inside = slice(400, -400)
    error = np.abs(found[inside] - expected[inside]).max(axis=0) / expected[inside].max(axis=0)
    assert error.max() < 0.05
    np.testing.assert_allclose(found[inside].mean(axis=0), expected[inside].mean(axis=0), rtol=0.01)


@pytest.mark.parametrize("frequency_hz", [1.0, 5.0, 17.3, 45.0])
@pytest.mark.parametrize("amplitude_mv", [1.0, 0.05])
def test_a_sine_has_its_amplitude_at_its_frequency(frequency_hz, amplitude_mv):
    layer = Scalogram(100, 1.0, frequency_hz if frequency_hz > 1 else 45.0, dtype="float64")
    t = np.arange(1000) / 100
    x = amplitude_mv * np.sin(2 * np.pi * frequency_hz * t + 0.4) + 3
    middle = np.asarray(layer(x[None, :, None]))[0, 50:-50, :, 0]
    bin_ = 0 if frequency_hz == 1 else -1
    assert layer.compute_frequencies_hz(1000)[bin_] == pytest.approx(frequency_hz)
    expected = 10 * np.log10(amplitude_mv**2 + 1e-6)
    np.testing.assert_allclose(middle[:, bin_], expected, atol=0.05)
    assert np.all(middle.argmax(axis=1) == bin_ % middle.shape[1])


def test_the_power_summed_over_scales_is_that_of_the_signal():
    # Parseval: of a signal whose band the wavelets cover, sum over bins of P / f times the step
    # in f is its mean square times 2 * integral of exp(-(w0 * (u - 1))**2) / u du.
    rng = np.random.default_rng(3)
    sos = scipy_signal.butter(6, [4, 20], "band", fs=100, output="sos")
    x = scipy_signal.sosfiltfilt(sos, rng.normal(size=6000))
    layer = Scalogram(100, 1.0, 50.0, bins_per_octave=12, dtype="float64")
    step = np.diff(np.log(layer.compute_frequencies_hz(6000)))[0]
    found = compute_power(layer, x[None, :, None])[0, :, :, 0].mean(axis=0).sum() * step
    u = np.linspace(0.01, 3, 20000)
    # 4 exp() of the power of the positive frequencies, which hold half the mean square.
    constant = 2 * np.trapezoid(np.exp(-((6 * (u - 1)) ** 2)) / u, u)
    assert found == pytest.approx(constant * np.mean(x**2), rel=0.02)


def test_the_ridge_of_a_chirp_follows_its_frequency():
    t = np.arange(3000) / 100
    x = scipy_signal.chirp(t, 1.0, 30, 40.0, method="logarithmic")
    layer = Scalogram(100, 0.8, 50.0, bins_per_octave=12, dtype="float64")
    found = np.asarray(layer(x[None, :, None]))[0, :, :, 0]
    axes = layer.compute_axes(3000)
    true_hz = 40 ** (axes["time_s"] / 30)
    inside = slice(25, -25)
    ridge = axes["frequency_hz"][found.argmax(axis=1)]
    assert np.abs(np.log2(ridge / true_hz))[inside].max() < 1.01 / 12
    # A sweep of c Hz/s is not all in the wavelet of the deviation s at once.
    s, c = 6 / (2 * np.pi * true_hz), true_hz * np.log(40) / 30
    expected = -5 * np.log10(1 + (2 * np.pi * c * s**2) ** 2)
    np.testing.assert_allclose(found.max(axis=1)[inside], expected[inside], atol=0.2)


def test_an_impulse_is_at_its_time_with_the_width_of_each_wavelet():
    layer = Scalogram(100, 2.0, 40.0, hop_s=0.02, dtype="float64")
    x = np.zeros((1, 1000, 1))
    x[0, 437] = 1.0
    found = compute_power(layer, x)[0, :, :, 0]
    time_s, frequency_hz = layer.compute_axes(1000).values()
    centre = (found * time_s[:, None]).sum(axis=0) / found.sum(axis=0)
    np.testing.assert_allclose(centre, 4.37, atol=0.01)
    spread = np.sqrt((found * (time_s[:, None] - 4.37) ** 2).sum(axis=0) / found.sum(axis=0))
    deviation_s = 6 / (2 * np.pi * frequency_hz) / np.sqrt(2)  # of the square of the wavelet
    below = frequency_hz < 20  # above, Nyquist cuts the wavelet
    np.testing.assert_allclose(spread[below], deviation_s[below], rtol=0.05)


def test_no_beat_falls_between_frames():
    layer = Scalogram(100, 5.0, 40.0, hop_s=0.4, dtype="float64")
    energies = []
    for at in range(400, 440):  # everywhere in a frame
        x = np.zeros((1, 1000, 1))
        x[0, at] = 1.0
        energies.append(compute_power(layer, x)[0, :, :, 0].sum(axis=0))
    np.testing.assert_allclose(energies, np.mean(energies, axis=0)[None].repeat(40, 0), rtol=0.01)


def test_qrs_and_t_wave_of_a_real_record_are_at_their_frequencies():
    folder = find_shared_data("ptbxl") / "records100/00000"
    x = np.fromfile(folder / "00009_lr.dat", "<i2").reshape(-1, 12) / 1000
    beats = scipy_signal.sosfiltfilt(
        scipy_signal.butter(3, [5, 15], "band", fs=100, output="sos"), x[:, 1]
    )
    peaks, _ = scipy_signal.find_peaks(np.abs(beats), height=0.5 * beats.max(), distance=50)
    peaks = peaks[(peaks > 100) & (peaks < 850)]
    assert 6 <= len(peaks) <= 9
    layer = Scalogram(100)
    found = compute_power(layer, x[None].astype(np.float32))[0, :, :, 1]
    time_s, frequency_hz = layer.compute_axes(1000).values()

    def find_loudest_hz(seconds_after):
        frames = [abs(time_s - peak / 100 - seconds_after).argmin() for peak in peaks]
        # Beats recur about once a second: below 2 Hz is their rhythm.
        above = np.where(frequency_hz > 2, found[frames].mean(axis=0), 0)
        return frequency_hz[above.argmax()]

    assert 10 <= find_loudest_hz(0.0) <= 25
    assert find_loudest_hz(0.3) < 7


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Scalogram(100, high_hz=60), ["high_hz=60", "Nyquist frequency of 50", "50"]),
        (lambda: Scalogram(100, low_hz=45), ["low_hz=45", "high_hz=45"]),
        (lambda: Scalogram(100, bins_per_octave=0), ["bins_per_octave", "1 to 48"]),
        (lambda: Scalogram(100, bins_per_octave=6.0), ["bins_per_octave", "6.0"]),
        (lambda: Scalogram(100, hop_s=0.004), ["hop_s=0.004", "0.01 s"]),
        (lambda: Scalogram(100, w0=4), ["w0", "5"]),
        (lambda: Scalogram(100, floor_mv=0), ["floor_mv"]),
        (lambda: Scalogram(100).compute_axes(7), ["hop_s=0.08", "0.07 s"]),
        (
            lambda: Scalogram(100, w0=7).compute_output_shape((None, 800, 12)),
            ["low_hz=0.5", "8.913 s", "has 8 s", "low_hz to 0.558", "w0 to 6.28 or less"],
        ),
        (lambda: Scalogram(100).compute_axes(300), ["low_hz to 1.274"]),
        (lambda: Scalogram(100, low_hz=0, high_hz=2).compute_axes(100), ["high_hz=2", "3.82 Hz"]),
        (lambda: Scalogram(100).compute_output_shape((None, None, 12)), ["n_samples"]),
    ],
)
def test_errors_name_what_was_given_and_the_remedy(build, words):
    with pytest.raises(ExperimentError) as error:
        build()
    for word in words:
        assert word in str(error.value)


def test_the_remedies_proposed_by_errors_work():
    assert Scalogram(100, low_hz=0.558, w0=7).compute_frequencies_hz(800)[0] == pytest.approx(0.558)
    assert Scalogram(100, w0=6.28).compute_frequencies_hz(800)[0] == pytest.approx(0.5)
    assert Scalogram(100, w0=7).compute_frequencies_hz(892)[0] == pytest.approx(0.5)
    assert Scalogram(100, low_hz=0).compute_frequencies_hz(300)[0] == pytest.approx(4 / np.pi)


def test_frequencies_are_evenly_spaced_octaves_with_both_edges():
    frequencies = Scalogram(100, 0.5, 45.0).compute_frequencies_hz(1000)
    assert frequencies[[0, -1]] == pytest.approx([0.5, 45.0])
    steps = np.diff(np.log2(frequencies))
    np.testing.assert_allclose(steps, steps[0])
    assert 1 / 7 < steps[0] <= 1 / 6
