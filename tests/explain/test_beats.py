"""Beats aligned to the R peak: models that read one wave, and closed forms."""

import keras
import numpy as np
import pytest

from ecglib.datasets.schema import SignalSpec
from ecglib.datasets.sources.synthetic import SyntheticSource
from ecglib.datasets.tabular.heart_rate import find_r_peaks
from ecglib.errors import EcgError
from ecglib.explain import (
    Attribution,
    ClassScore,
    ScoreModel,
    attribute_by_gradient,
    build_score_model,
    describe_signal,
)
from ecglib.explain.beats import BeatWindows, average_beats, label_waves, locate_waves

RATE_HZ = 100.0
AROUND_BEAT = SignalSpec(RATE_HZ, 200, ("I", "II"), around_beats=True, beat_s=1.0)
WHOLE = SignalSpec(RATE_HZ, 1000, ("I", "II"))


def make_reader(start_s, end_s):
    """Make the score of a linear model that reads lead II in one interval of the window."""
    x = keras.Input((200, 2), name="signal")
    dense = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(x, dense(keras.layers.Flatten()(x)))
    weights = np.zeros((200, 2))
    weights[round(start_s * RATE_HZ) : round(end_s * RATE_HZ), 1] = 1.0
    dense.set_weights([weights.reshape(-1, 1), np.zeros(1)])
    return ScoreModel(
        model=build_score_model(model, "multi_label"),
        classes=("V",),
        inputs={"signal": describe_signal(AROUND_BEAT)},
    )


def explain_reader(start_s, end_s, n_windows=6):
    signal_mv = np.random.default_rng(0).standard_normal((n_windows, 200, 2)) * 0.1
    target = ClassScore(
        scores=make_reader(start_s, end_s),
        inputs={"signal": signal_mv.astype(np.float32)},
        class_name="V",
        windows=tuple(f"beat {k}" for k in range(n_windows)),
    )
    windows = BeatWindows(
        signal_mv=signal_mv, signal=AROUND_BEAT, patients=np.arange(n_windows).astype(str)
    )
    return average_beats(attribute_by_gradient(target)["signal"], windows)


def get_fractions(average):
    return {one.wave: one for one in average.fractions}


def make_attribution(values, signal):
    return Attribution(
        values=values,
        axes=describe_signal(signal).axes,
        unit="logit",
        input_name="signal",
        method="m",
        class_name="V",
        windows=tuple(str(k) for k in range(len(values))),
    )


def make_beats(n_windows, peaks_s):
    """Sharp beats of 1 mV in both leads."""
    time_s = np.arange(1000)[:, None] / RATE_HZ
    beat = np.exp(-0.5 * ((time_s - peaks_s) / 0.015) ** 2).sum(axis=1)
    return np.repeat(np.stack([beat, beat], axis=1)[None], n_windows, axis=0)


def test_a_model_that_reads_qrs_has_all_its_attribution_there():
    average = explain_reader(0.95, 1.05)

    fractions = get_fractions(average)
    assert fractions["QRS"].attribution == pytest.approx(1.0)
    assert fractions["QRS"].time == pytest.approx(18 / 200)
    assert fractions["QRS"].difference_low > 0.9
    assert fractions["T"].attribution == fractions["P"].attribution == 0
    # 10 of 400 values are read, equally: each is 40 times the mean.
    in_qrs = np.abs(average.time_s) < 0.04
    np.testing.assert_allclose(average.attribution.estimate[in_qrs, 1], 40, rtol=1e-5)
    assert not average.attribution.estimate[:, 0].any()


def test_a_model_that_reads_t_has_all_its_attribution_there():
    fractions = get_fractions(explain_reader(1.12, 1.30))

    assert fractions["T"].attribution == pytest.approx(1.0)
    assert fractions["QRS"].difference_high < 0


def test_an_even_attribution_has_as_much_in_each_wave_as_the_wave_lasts():
    signal_mv = make_beats(3, np.arange(0.5, 10, 0.8))
    windows = BeatWindows(signal_mv=signal_mv, signal=WHOLE, patients=np.array(list("abc")))

    average = average_beats(make_attribution(np.full((3, 1000, 2), -2.0), WHOLE), windows)

    assert [one.difference for one in average.fractions] == pytest.approx([0, 0, 0, 0], abs=1e-9)
    assert sum(one.time for one in average.fractions) == pytest.approx(1)
    np.testing.assert_allclose(average.attribution.estimate, 1)


def test_the_mean_beat_is_the_beat_that_is_repeated():
    signal_mv = make_beats(2, np.arange(0.5, 10, 1.0))
    windows = BeatWindows(signal_mv=signal_mv, signal=WHOLE, patients=np.array(["a", "b"]))

    average = average_beats(make_attribution(signal_mv, WHOLE), windows)

    expected = np.exp(-0.5 * (average.time_s / 0.015) ** 2)
    np.testing.assert_allclose(average.signal_mv.estimate[:, 0], expected, atol=1e-6)
    assert (average.n_beats, average.n_patients) == (20, 2)
    assert get_fractions(average)["QRS"].attribution > 0.99


def test_each_patient_counts_once():
    signal_mv = np.zeros((4, 200, 2))
    signal_mv[3] = 1.0
    windows = BeatWindows(signal_mv=signal_mv, signal=AROUND_BEAT, patients=np.array(list("aaab")))

    average = average_beats(make_attribution(np.ones((4, 200, 2)), AROUND_BEAT), windows)

    np.testing.assert_allclose(average.signal_mv.estimate, 0.5)


def test_windows_without_beats_or_attribution_are_excluded():
    signal_mv = make_beats(3, np.arange(0.5, 10, 0.8))
    signal_mv[1] = 0
    values = np.ones((3, 1000, 2))
    values[2] = 0
    windows = BeatWindows(signal_mv=signal_mv, signal=WHOLE, patients=np.array(list("abc")))

    assert average_beats(make_attribution(values, WHOLE), windows).n_windows == 1
    with pytest.raises(EcgError, match="No window has beats"):
        average_beats(make_attribution(np.zeros((3, 1000, 2)), WHOLE), windows)


def test_an_attribution_of_other_windows_is_refused():
    windows = BeatWindows(
        signal_mv=np.zeros((2, 200, 2)), signal=AROUND_BEAT, patients=np.array(["a", "b"])
    )

    with pytest.raises(EcgError, match="build_signal_scores"):
        average_beats(make_attribution(np.zeros((3, 200, 2)), AROUND_BEAT), windows)


def test_waves_follow_each_other_at_any_heart_rate():
    for rr_s in (0.3, 0.5, 0.8, 1.5):
        waves = locate_waves(rr_s)

        ends = [end for wave in ("P", "QRS", "T") for end in waves[wave]]
        assert ends == sorted(ends)
    assert locate_waves(1.0)["T"][1] == pytest.approx(0.40)


def test_the_usual_intervals_contain_the_simulated_waves():
    source = SyntheticSource(n_patients=25, seed=4)
    contained = {"P": [], "QRS": [], "T": []}
    time_s = np.arange(1000) / RATE_HZ
    for record in source.read_records():
        beats_s = find_r_peaks(record.steps / 1000, source.signal) / RATE_HZ
        labels = label_waves(time_s, beats_s, float(np.median(np.diff(beats_s))))
        truth = source.locate_waves(record.name)
        for wave, found in contained.items():
            spans = truth.intervals_s[wave] + truth.times_s[:, None]
            is_true = ((time_s[:, None] >= spans[:, 0]) & (time_s[:, None] < spans[:, 1])).any(1)
            if is_true.any():
                found.append((labels[is_true] == wave).mean())

    assert {wave: bool(np.median(found) > 0.9) for wave, found in contained.items()} == {
        "P": True,
        "QRS": True,
        "T": True,
    }
