"""The representations against SciPy in float64, closed forms and what their docstrings say."""

import dataclasses

import keras
import numpy as np
import pytest
from backends import compute_gradient, needs_tensorflow
from keras import ops
from scipy import signal as scipy_signal
from sklearn.preprocessing import RobustScaler

from ecglib.errors import ExperimentError
from ecglib.experiment.registry import REPRESENTATIONS, TABULAR
from ecglib.preprocessing import BandPass, Notch, WaveletDenoise
from ecglib.representations import (
    FrequencySpectrum,
    Scalogram,
    Spectrogram,
    TabularValues,
    TimeSeries,
    build_representations,
    find_representation,
)

# Those that are computed from the signal.
NAMES = [name for name in REPRESENTATIONS if name != TABULAR]


@dataclasses.dataclass
class Spec:
    """The part of a SignalSpec that the representations read."""

    sampling_rate_hz: float = 100
    n_samples: int = 1000
    leads: tuple[str, ...] = ("I", "II", "V1")


def noise(n_samples: int, n_windows: int = 4, n_leads: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(0.3, 1.0, (n_windows, n_samples, n_leads))


def sine(frequency_hz, rate_hz=100, n_samples=1000, amplitude_mv=1.0, phase=0.4):
    t = np.arange(n_samples) / rate_hz
    return (amplitude_mv * np.sin(2 * np.pi * frequency_hz * t + phase))[None, :, None]


# (layer, samples)
CASES = [
    (TimeSeries(100), 1000),
    (TimeSeries(360, scale="window"), 480),
    (FrequencySpectrum(100), 1000),
    (FrequencySpectrum(500), 5000),
    (FrequencySpectrum(360, low_hz=0, high_hz=0), 1081),
    (FrequencySpectrum(128, low_hz=1, high_hz=64), 480),
    (Spectrogram(100), 1000),
    (Spectrogram(500), 5000),
    (Spectrogram(360, window_s=0.5, hop_s=0.1), 1080),
    (Spectrogram(128, window_s=1.0, hop_s=1.0, low_hz=2.0, high_hz=0), 997),
    (Spectrogram(250, window_s=0.64, hop_s=0.004), 160),
    (FrequencySpectrum(100, method="welch"), 1000),
    (FrequencySpectrum(360, 2.0, method="welch", resolution_hz=2.0), 1081),
    (FrequencySpectrum(100, method="multitaper"), 1000),
    (FrequencySpectrum(128, 2.0, 64.0, method="multitaper", resolution_hz=1.5), 480),
    (FrequencySpectrum(100, phase=True), 999),
    (Scalogram(100), 1000),
    (Scalogram(500, hop_s=0.16), 5000),
    (Scalogram(360, low_hz=0, bins_per_octave=12, hop_s=0.161, w0=8.0), 1081),
    (Scalogram(128, low_hz=6, high_hz=64, hop_s=0.01), 97),
    (Scalogram(100, hop_s=10.0), 1000),
]
IDS = [f"{type(layer).__name__}-{layer.sampling_rate:g}-{n}" for layer, n in CASES]


@pytest.mark.parametrize(("layer", "n_samples"), CASES, ids=IDS)
def test_the_shape_and_axes_are_known_before_any_data(layer, n_samples):
    shape = layer.compute_output_shape((4, n_samples, 3))
    assert tuple(layer(noise(n_samples).astype(np.float32)).shape) == shape
    assert layer.compute_output_shape((None, n_samples, 3)) == (None, *shape[1:])
    assert tuple(len(axis) for axis in layer.compute_axes(n_samples).values()) == shape[1:-1]
    assert shape[-1] == (9 if getattr(layer, "phase", False) else 3)
    scaled = getattr(layer, "scale", "none") == "window"
    assert layer.unit == "deviations" if scaled else layer.unit.split()[-1].startswith("mV")


def test_scaled_windows_equal_scikit_learn_whatever_the_gain_and_outliers():
    x = noise(500)
    x[:, 100:110] += 50  # an artifact
    scaled = np.asarray(TimeSeries(100, scale="window", dtype="float64")(x))
    for window, scaled_window in zip(x, scaled, strict=True):
        expected = RobustScaler(unit_variance=True).fit_transform(window)
        np.testing.assert_allclose(scaled_window, expected, atol=1e-3)
    other = np.asarray(TimeSeries(100, scale="window", dtype="float64")(3 * x - 2))
    np.testing.assert_allclose(other, scaled, atol=1e-9)
    silence = np.asarray(TimeSeries(100, scale="window")(np.full((1, 500, 2), 0.4, np.float32)))
    assert not silence.any()
    layer = TimeSeries(100, scale="window")
    assert np.isfinite(
        compute_gradient(lambda x: ops.sum(layer(x)), np.zeros((1, 50, 1), "float32"))
    ).all()


def test_the_signal_is_filtered_before_all_representations():
    """Notch, band-pass, denoising, in this order, each as the layer alone does it."""
    signal = Spec(250, 1000)
    x = (noise(1000) + sine(50, 250)).astype(np.float32)
    expected = WaveletDenoise(250)(BandPass(250, 0.5, 40)(Notch(250, 50)(x)))
    both = build_representations(signal, ["time", "frequency"], notch_hz=50.0, denoise=True)
    np.testing.assert_allclose(np.asarray(both(x)["time"]), np.asarray(expected), atol=1e-5)
    alone = build_representations(signal, ["time"], notch_hz=50.0, denoise=True)
    np.testing.assert_allclose(np.asarray(alone(x)["time"]), np.asarray(expected), atol=1e-5)
    no_mains = np.asarray(build_representations(signal, ["time"], (0, 0), notch_hz=50.0)(x)["time"])
    rest = np.abs(np.fft.rfft(no_mains, axis=1))[:, 200] / np.abs(np.fft.rfft(x, axis=1))[:, 200]
    assert rest.max() < 0.1


@pytest.mark.parametrize(("layer", "n_samples"), CASES, ids=IDS)
def test_a_window_alone_gives_the_same_as_in_a_batch(layer, n_samples):
    x = noise(n_samples).astype(np.float32)
    batch = np.asarray(layer(x))
    for i in range(len(x)):
        np.testing.assert_allclose(np.asarray(layer(x[i : i + 1]))[0], batch[i], atol=1e-4)
    alone = np.asarray(layer(x[:, :, 1:2]))
    np.testing.assert_allclose(alone, batch[..., 1::3], atol=1e-4)


@pytest.mark.parametrize(("layer", "n_samples"), CASES, ids=IDS)
def test_the_configuration_builds_the_same_layer(layer, n_samples):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    x = noise(n_samples).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(again(x)), np.asarray(layer(x)))


@pytest.mark.parametrize(("rate_hz", "n_samples"), [(100, 1000), (360, 1080), (250, 751)])
def test_the_spectrum_equals_a_scaled_periodogram(rate_hz, n_samples):
    x = noise(n_samples)
    layer = FrequencySpectrum(rate_hz, low_hz=2.0, high_hz=0, floor_mv=1e-2, dtype="float64")
    # SciPy's "spectrum" scaling is the mean square of a sine, A**2 / 2, but at Nyquist.
    frequencies, power = scipy_signal.periodogram(
        x, rate_hz, window="hann", detrend="constant", scaling="spectrum", axis=1
    )
    squared = power * np.where(2 * frequencies == rate_hz, 1, 2)[:, None]
    keep = frequencies >= 2.0 - 1e-9
    np.testing.assert_allclose(layer.compute_axes(n_samples)["frequency_hz"], frequencies[keep])
    np.testing.assert_allclose(
        np.asarray(layer(x)), 10 * np.log10(squared[:, keep] + 1e-4), atol=1e-8
    )


@pytest.mark.parametrize("amplitude_mv", [1.0, 0.02])
@pytest.mark.parametrize("frequency_hz", [0.5, 7.3, 40.0])
def test_a_sine_has_its_amplitude_in_its_bin(frequency_hz, amplitude_mv):
    layer = FrequencySpectrum(100, dtype="float64")
    spectrum = np.asarray(layer(sine(frequency_hz, amplitude_mv=amplitude_mv) + 5))[0, :, 0]
    frequencies = layer.compute_axes(1000)["frequency_hz"]
    at = int(np.argmin(abs(frequencies - frequency_hz)))
    assert frequencies[at] == pytest.approx(frequency_hz)
    assert spectrum[at] == pytest.approx(10 * np.log10(amplitude_mv**2 + 1e-6), abs=1e-6)
    # The Hann window puts half the amplitude in the neighbours and nothing farther away.
    beside = spectrum[at + (1 if at == 0 else -1)]
    assert beside == pytest.approx(10 * np.log10((amplitude_mv / 2) ** 2 + 1e-6), abs=1e-6)
    assert np.all(np.delete(spectrum, [max(at - 1, 0), at, min(at + 1, len(spectrum) - 1)]) < -59.9)


@pytest.mark.parametrize(
    ("rate_hz", "n_samples", "window_s", "hop_s"),
    [
        (100, 1000, 0.64, 0.16),
        (500, 2500, 0.64, 0.16),
        (360, 1080, 0.5, 0.25),
        (250, 750, 0.3, 0.1),
    ],
)
def test_spectrogram_equals_scipy(rate_hz, n_samples, window_s, hop_s):
    x = noise(n_samples)
    layer = Spectrogram(rate_hz, window_s, hop_s, high_hz=0, floor_mv2_per_hz=1e-9, dtype="float64")
    n_window, n_hop = round(window_s * rate_hz), round(hop_s * rate_hz)
    frequencies, times, density = scipy_signal.spectrogram(
        x,
        rate_hz,
        window="hann",
        nperseg=n_window,
        noverlap=n_window - n_hop,
        detrend="constant",
        scaling="density",
        mode="psd",
        axis=1,
    )
    # SciPy: (windows, bins, leads, frames), with a bin at 0 Hz.
    expected = 10 * np.log10(density[:, 1:].transpose(0, 3, 1, 2) + 1e-9)
    axes = layer.compute_axes(n_samples)
    np.testing.assert_allclose(axes["frequency_hz"], frequencies[1:])
    np.testing.assert_allclose(axes["time_s"], times)
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-6)
    in_float32 = Spectrogram(rate_hz, window_s, hop_s, high_hz=0)(x.astype(np.float32))
    expected = 10 * np.log10(density[:, 1:].transpose(0, 3, 1, 2) + 1e-6)
    np.testing.assert_allclose(np.asarray(in_float32), expected, atol=5e-3)


def test_an_impulse_appears_in_the_frames_that_contain_it():
    layer = Spectrogram(100)
    x = np.zeros((1, 1000, 1), np.float32)
    x[0, 437] = 1.0
    loud = np.asarray(layer(x))[0, :, :, 0].max(axis=1) > -50
    times = layer.compute_axes(1000)["time_s"]
    np.testing.assert_array_equal(loud, abs(times - 4.37) < 0.30)
    assert times[np.argmax(np.asarray(layer(x))[0, :, 10, 0])] == pytest.approx(4.37, abs=0.08)


def test_a_sine_has_its_power_in_the_band():
    layer = Spectrogram(100, high_hz=0, dtype="float64")
    density = 10 ** (np.asarray(layer(sine(12.5, amplitude_mv=2.0)))[0, :, :, 0] / 10) - 1e-6
    df = layer.compute_axes(1000)["frequency_hz"][0]
    np.testing.assert_allclose(density.sum(axis=1) * df, 2.0**2 / 2, rtol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        FrequencySpectrum(100),
        FrequencySpectrum(100, method="welch"),
        FrequencySpectrum(100, method="multitaper"),
        FrequencySpectrum(100, phase=True),
        Spectrogram(100),
        Scalogram(100),
    ],
    ids=["window", "welch", "multitaper", "phase", "spectrogram", "scalogram"],
)
def test_silence_is_at_the_floor_and_has_a_gradient(layer):
    x = np.zeros((2, 1000, 3), np.float32)
    np.testing.assert_allclose(np.asarray(layer(x))[..., :3], -60.0, atol=1e-4)
    assert np.all(np.isfinite(compute_gradient(lambda x: ops.sum(layer(x)), x)))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: FrequencySpectrum(100, high_hz=60),
            ["high_hz=60", "Nyquist frequency of 50", "to 50"],
        ),
        (lambda: Spectrogram(100, high_hz=51), ["high_hz=51", "Nyquist frequency of 50"]),
        (lambda: FrequencySpectrum(100, low_hz=40, high_hz=40), ["low_hz=40", "high_hz=40"]),
        (lambda: FrequencySpectrum(100, low_hz=50, high_hz=0), ["Nyquist frequency, 50 Hz"]),
        (lambda: FrequencySpectrum(100, low_hz=-0.5), ["low_hz", "-0.5"]),
        (lambda: FrequencySpectrum(100, floor_mv=0), ["floor_mv"]),
        (lambda: Spectrogram(100, floor_mv2_per_hz=0), ["floor_mv2_per_hz"]),
        (lambda: Spectrogram(100, hop_s=0.7), ["hop_s=0.7", "window_s=0.64"]),
        (lambda: Spectrogram(100, hop_s=0.004), ["hop_s=0.004", "0.01 s"]),
        (lambda: Spectrogram(100, window_s=0), ["window_s=0"]),
        (lambda: TimeSeries(-100), ["sampling_rate", "-100"]),
        (lambda: Spectrogram(100).compute_axes(50), ["window_s=0.64", "0.5 s"]),
        (lambda: Spectrogram(100).compute_output_shape((None, 63, 12)), ["longer", "0.63 s"]),
        (lambda: FrequencySpectrum(100).compute_axes(300), ["1.5 periods", "0.667", "4.0 s"]),
        (lambda: Spectrogram(100, low_hz=0.5), ["0.32 periods", "3.125", "4.0 s"]),
        (lambda: Spectrogram(100, low_hz=4.7, high_hz=6.2), ["no bin", "1.562", "6.25"]),
        (lambda: FrequencySpectrum(100).compute_output_shape((None, None, 12)), ["n_samples"]),
    ],
)
def test_errors_name_what_was_given_and_the_remedy(build, words):
    with pytest.raises(ExperimentError) as error:
        build()
    for word in words:
        assert word in str(error.value)


def test_the_remedies_proposed_by_errors_work():
    def find_first_hz(layer, n_samples):
        return layer.compute_axes(n_samples)["frequency_hz"][0]

    assert find_first_hz(FrequencySpectrum(100, low_hz=0.667), 300) == pytest.approx(1.0)
    assert find_first_hz(FrequencySpectrum(100), 400) == pytest.approx(0.5)
    assert find_first_hz(Spectrogram(100, low_hz=3.125), 1000) == pytest.approx(3.125)
    assert find_first_hz(Spectrogram(100, window_s=4.0, low_hz=0.5), 1000) == 0.5
    narrow = Spectrogram(100, low_hz=4.7, high_hz=6.25)
    assert len(narrow.compute_axes(1000)["frequency_hz"]) == 1


@pytest.mark.parametrize(
    ("rate_hz", "n_samples"), [(100, 1000), (500, 5000), (360, 1080), (128, 384)]
)
def test_all_representations_of_one_window_are_built(rate_hz, n_samples):
    signal = Spec(rate_hz, n_samples)
    model = build_representations(signal, NAMES)
    assert model.count_params() == 0
    assert model.input.name == "signal"
    x = noise(n_samples).astype(np.float32)
    out = model(x)
    assert set(out) == set(NAMES)
    filtered = BandPass(rate_hz, 0.5, 40)(x)
    for name, value in out.items():
        layer = model.get_layer(name)
        assert tuple(value.shape[1:]) == tuple(model.output[name].shape[1:])
        np.testing.assert_allclose(np.asarray(value), np.asarray(layer(filtered)), atol=1e-4)


def test_representations_cover_the_band_of_the_filter_unless_options_say_otherwise():
    model = build_representations(
        Spec(500, 5000),
        ["frequency", "spectrogram"],
        band_hz=(1.0, 150.0),
        options={"spectrogram": {"window_s": 1.0, "high_hz": 100.0}},
    )
    frequency, spectrogram = (model.get_layer(n) for n in ("frequency", "spectrogram"))
    assert frequency.compute_axes(5000)["frequency_hz"][[0, -1]] == pytest.approx([1.0, 150.0])
    # A frame of one second does not cover two periods of 1 Hz: it starts at its first bin.
    assert spectrogram.low_hz == 0
    assert spectrogram.compute_axes(5000)["frequency_hz"][[0, -1]] == pytest.approx([1.0, 100.0])
    short = build_representations(Spec(100, 300), ["frequency"]).get_layer("frequency")
    assert short.compute_axes(300)["frequency_hz"][0] == pytest.approx(1 / 3)
    scalogram = build_representations(Spec(100, 300), ["scalogram"]).get_layer("scalogram")
    assert scalogram.compute_axes(300)["frequency_hz"][[0, -1]] == pytest.approx([4 / np.pi, 40.0])
    scalogram = build_representations(Spec(100, 1000), ["scalogram"]).get_layer("scalogram")
    assert scalogram.compute_axes(1000)["frequency_hz"][[0, -1]] == pytest.approx([0.5, 40.0])
    options = {"frequency": {"method": "welch", "resolution_hz": 1.0}}
    welch = build_representations(Spec(), ["frequency"], options=options).get_layer("frequency")
    assert welch.compute_axes(1000)["frequency_hz"][[0, -1]] == pytest.approx([0.5, 40.0])
    wide = build_representations(Spec(100, 1000), ["frequency"], (0, 0)).get_layer("frequency")
    assert wide.compute_axes(1000)["frequency_hz"][[0, -1]] == pytest.approx([0.1, 50.0])


@pytest.mark.parametrize(
    ("representations", "words"),
    [
        (["time", "wavelet"], ["'wavelet'", "'time', 'frequency', 'spectrogram', 'scalogram'"]),
        ([], ["at least one"]),
        (["time", "time"], ["each once"]),
        (["tabular"], ["columns=[]", "at least one column"]),
    ],
)
def test_wrong_representations_are_refused(representations, words):
    with pytest.raises(ExperimentError) as error:
        build_representations(Spec(), representations)
    for word in words:
        assert word in str(error.value)


def test_a_band_above_the_nyquist_frequency_is_refused():
    with pytest.raises(ExperimentError, match=r"high_hz=60.*Nyquist"):
        build_representations(Spec(), ["time"], (0.5, 60.0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"spectrogram": {"windows": 1}},
            ["'windows'", "window_s, hop_s, low_hz, high_hz, floor_mv2_per_hz"],
        ),
        ({"time": {"name": "x"}}, ["'name'", "scale"]),
        ({"spectogram": {}}, ["'spectogram'"]),
        ({"frequency": {"hop_s": 1}}, ["'hop_s'"]),
        ({"spectrogram": {"window_s": 20}}, ["window_s=20", "10 s"]),
        ({"tabular": {"column": "age"}}, ["'column'", "columns"]),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ExperimentError) as error:
        build_representations(Spec(), ["time", "spectrogram"], (0.5, 40), options)
    for word in words:
        assert word in str(error.value)


def test_every_name_in_the_registry_is_a_layer_that_knows_its_axes_and_unit():
    layers = {name: find_representation(name) for name in REPRESENTATIONS}
    assert layers["time"] is TimeSeries
    assert layers["tabular"] is TabularValues
    assert all(hasattr(layer, "compute_axes") for layer in layers.values())
    assert all(hasattr(layer, "unit") for layer in layers.values())


def test_tabular_values_are_a_second_input():
    columns = ["age", "rr_sd_s"]
    model = build_representations(
        Spec(), ["time", "tabular"], options={"tabular": {"columns": columns}}
    )
    assert [x.name for x in model.inputs] == ["signal", "values"]
    values = np.array([[60.0, 0.1]], np.float32)
    out = model([noise(1000, n_windows=1).astype(np.float32), values])
    np.testing.assert_array_equal(np.asarray(out["tabular"]), values)
    assert model.get_layer("tabular").columns == columns


def test_representations_survive_saving(tmp_path):
    model = build_representations(Spec(), NAMES, options={"spectrogram": {"hop_s": 0.08}})
    model.save(tmp_path / "representations.keras")
    loaded = keras.models.load_model(tmp_path / "representations.keras", safe_mode=True)
    x = noise(1000).astype(np.float32)
    expected = model(x)
    for name, value in loaded(x).items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(expected[name]))


@needs_tensorflow
def test_representations_run_in_a_tf_data_map():
    import tensorflow as tf

    model = build_representations(Spec(), NAMES)
    x = noise(1000, n_windows=10).astype(np.float32)
    expected = model(x)
    batches = tf.data.Dataset.from_tensor_slices(x).batch(4).map(model)
    for name in NAMES:
        parts = np.concatenate([batch[name] for batch in batches])
        np.testing.assert_allclose(parts, np.asarray(expected[name]), atol=1e-3)
