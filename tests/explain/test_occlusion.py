"""A model that reads one lead, one moment and one band is found to read exactly these."""

import keras
import numpy as np
import pytest
from class_score_helpers import describe_input, make_noise, make_target

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import EcgError
from ecglib.explain import (
    ClassScore,
    ScoreModel,
    attribute_by_gradient,
    build_score_model,
    describe_signal,
    occlude_bands,
    occlude_leads,
    occlude_segments,
    occlude_waves,
)

LEADS = ("I", "II", "V1")
SIGNAL = SignalSpec(sampling_rate_hz=100.0, n_samples=200, leads=LEADS)
LEAD, BAND_HZ = 1, (12, 14)  # what the model of the band reads


def make_sine(frequency_hz):
    return np.sin(2 * np.pi * frequency_hz * np.arange(200) / 100)


@pytest.fixture
def band_target():
    """Half the energy of the sine and cosine of 12, 13 and 14 Hz in lead II, in 2 s."""
    x = keras.Input((200, 3), name="signal")
    kernel = np.zeros((200, 3, 6), np.float32)
    for k, frequency_hz in enumerate((12, 13, 14)):
        phase = 2 * np.pi * frequency_hz * np.arange(200) / 100
        kernel[:, LEAD, 2 * k], kernel[:, LEAD, 2 * k + 1] = np.cos(phase), np.sin(phase)
    transform = keras.layers.Dense(6, use_bias=False)
    products = transform(keras.layers.Flatten()(x))
    energy = keras.layers.Multiply()([products, products])
    classify = keras.layers.Dense(1, "sigmoid", kernel_initializer="ones", use_bias=False)
    model = keras.Model(x, classify(energy))
    transform.set_weights([kernel.reshape(600, 6) / 100])
    signal = make_noise(2, 200, 3)
    return ClassScore(
        scores=ScoreModel(
            model=build_score_model(model, "multi_label"),
            classes=("A",),
            inputs={"signal": describe_signal(SIGNAL)},
        ),
        inputs={"signal": signal},
        class_name="A",
        windows=("first", "second"),
    )


def test_occlusion_of_leads_finds_the_lead(band_target):
    found = occlude_leads(band_target)["signal"]

    spectrum = np.fft.rfft(band_target.inputs["signal"][:, :, LEAD], axis=1)[:, [24, 26, 28]]
    energy = np.sum(np.abs(spectrum / 100) ** 2, axis=1)
    assert found.axes[0].values.tolist() == list(LEADS)
    np.testing.assert_allclose(found.values[:, LEAD], energy, rtol=1e-4)
    np.testing.assert_array_equal(found.values[:, [0, 2]], 0)


def test_occlusion_of_bands_finds_the_band(band_target):
    found = occlude_bands(band_target, width_hz=2.5)["signal"]

    is_read = (found.axes[0].values > 10) & (found.axes[0].values < 15)
    assert found.axes[0].values[is_read].tolist() == [11.25, 13.75]
    leads = occlude_leads(band_target)["signal"].values[:, LEAD]
    np.testing.assert_allclose(found.values[:, is_read].sum(axis=1), leads, rtol=1e-4)
    assert (found.values[:, is_read] > 0.01 * leads[:, None]).all()
    np.testing.assert_allclose(found.values[:, ~is_read], 0, atol=1e-4)
    assert len(found.axes[0].values) == 20


def test_the_gradient_lies_in_the_same_lead_and_band(band_target):
    found = attribute_by_gradient(band_target)["signal"].values

    np.testing.assert_array_equal(found[:, :, [0, 2]], 0)
    power = np.abs(np.fft.rfft(found[:, :, LEAD], axis=1)) ** 2
    frequency_hz = np.fft.rfftfreq(200, 0.01)
    inside = (frequency_hz >= BAND_HZ[0]) & (frequency_hz <= BAND_HZ[1])
    assert (power[:, ~inside].sum(axis=1) < 1e-9 * power.sum(axis=1)).all()


def test_occlusion_of_segments_finds_the_moment():
    x = keras.Input((200, 3), name="signal")
    dense = keras.layers.Dense(1, "sigmoid", use_bias=False)
    model = keras.Model(x, dense(keras.layers.Flatten()(x)))
    weights = np.zeros((200, 3), np.float32)
    weights[75, 2] = 2.0
    dense.set_weights([weights.reshape(600, 1)])
    signal = make_noise(1, 200, 3)
    target = make_target(model, {"signal": signal})

    found = occlude_segments(target, width_s=0.1)["signal"]

    # Samples 70 to 79 become the line from sample 69 to sample 80.
    line = signal[0, 69, 2] + 6 / 11 * (signal[0, 80, 2] - signal[0, 69, 2])
    assert found.axes[0].values[7] == pytest.approx(0.75)
    assert found.values[0, 7] == pytest.approx(2 * (signal[0, 75, 2] - line), rel=1e-4)
    np.testing.assert_allclose(np.delete(found.values[0], 7), 0, atol=1e-6)


def test_occlusion_of_waves_finds_the_wave_of_all_beats_and_its_lead():
    """R peaks every 0.8 s, each with a T wave 0.26 s later; the model adds up lead II there."""
    time_s = np.arange(1000) / 100
    peaks_s = np.arange(0.5, 10, 0.8)
    since_s = time_s[:, None] - peaks_s
    r_waves = np.exp(-((since_s / 0.015) ** 2)).sum(axis=1)
    t_waves = 0.3 * np.exp(-(((since_s - 0.26) / 0.03) ** 2)).sum(axis=1)
    signal_mv = np.repeat((r_waves + t_waves)[None, :, None], 3, axis=2)
    signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1000, leads=LEADS)
    kernel = np.zeros((1000, 3))
    kernel[:, LEAD] = (np.abs(since_s - 0.26) < 0.08).any(axis=1)

    x = keras.Input((1000, 3), name="signal")
    add_up = keras.layers.Dense(1, "sigmoid", use_bias=False)
    model = keras.Model(x, add_up(keras.layers.Flatten()(x)))
    add_up.set_weights([0.1 * kernel.reshape(3000, 1)])
    found = occlude_waves(make_target(model, {"signal": signal_mv}), signal)["signal"]

    expected = np.zeros((4, 3))
    expected[2, LEAD] = 0.1 * (kernel[:, LEAD] * t_waves).sum()
    np.testing.assert_allclose(found.values[0], expected, atol=0.02 * expected.max())
    silent = make_target(model, {"signal": 0 * signal_mv})
    assert not occlude_waves(silent, signal)["signal"].values.any()


def test_a_straight_line_has_no_segment_to_lose(band_target):
    ramp = np.linspace(0, 1, 200)[None, :, None] * np.ones((1, 1, 3))
    target = ClassScore(
        scores=band_target.scores, inputs={"signal": ramp}, class_name="A", windows=("ramp",)
    )

    found = occlude_segments(target, width_s=0.25)["signal"].values

    # At the ends the line continues at the height of its only neighbor.
    np.testing.assert_allclose(found[0, 1:-1], 0, atol=1e-5)


def test_bins_of_a_spectrogram_are_occluded_by_its_baseline():
    x = keras.Input((6, 8, 2), name="spectrogram")
    dense = keras.layers.Dense(1, "sigmoid", use_bias=False, kernel_initializer="ones")
    model = keras.Model(x, dense(keras.layers.Flatten()(x)))
    described = describe_input((6, 8, 2), ("time", "frequency", "lead"), "dB")
    described.baseline[...] = -60
    values = make_noise(1, 6, 8, 2)
    target = ClassScore(
        scores=ScoreModel(
            model=build_score_model(model, "multi_label"),
            classes=("A",),
            inputs={"spectrogram": described},
        ),
        inputs={"spectrogram": values},
        class_name="A",
        windows=("only",),
    )

    bands = occlude_bands(target, width_hz=4)["spectrogram"]
    leads = occlude_leads(target)["spectrogram"]

    # Bins of 1 to 8 Hz: 1, 2 and 3 Hz in the first band, 4 to 8 Hz in the second.
    expected = [np.sum(values[0, :, :3] + 60), np.sum(values[0, :, 3:] + 60)]
    assert bands.axes[0].values.tolist() == [2.0, 6.0]
    np.testing.assert_allclose(bands.values[0], expected, rtol=1e-4)
    np.testing.assert_allclose(leads.values[0], np.sum(values[0] + 60, axis=(0, 1)), rtol=1e-4)


def test_what_cannot_be_occluded_is_refused(band_target):
    x = keras.Input((2,), name="tabular")
    model = keras.Model(x, keras.layers.Dense(1, "sigmoid")(x))
    target = make_target(model, {"tabular": make_noise(1, 2)}, names=("column",))

    with pytest.raises(EcgError, match="has an axis lead"):
        occlude_leads(target)
    with pytest.raises(EcgError, match="width_s=0 must be above 0 s"):
        occlude_segments(band_target, width_s=0)
