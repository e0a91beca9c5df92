"""The pointing test, against closed forms and chance."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import EcgError
from ecglib.explain import Attribution, Axis
from ecglib.explain.patient_means import average_over_patients
from ecglib.explain.pointing import Evidence, score_pointing

RATE_HZ, N_SAMPLES, LEADS = 100.0, 200, ("I", "II", "V1", "V2")
SIGNAL = SignalSpec(sampling_rate_hz=RATE_HZ, n_samples=N_SAMPLES, leads=LEADS)
TIME = Axis(name="time", unit="s", values=np.arange(N_SAMPLES) / RATE_HZ)
LEAD = Axis(name="lead", unit="", values=np.array(LEADS))
FREQUENCY = Axis(name="frequency", unit="Hz", values=np.fft.rfftfreq(N_SAMPLES, 1 / RATE_HZ))


def make_evidence(n_windows, wave=None):
    """Evidence of a bump at 1 s in V1, or of another wave."""
    bump = np.exp(-0.5 * ((TIME.values - 1) / 0.03) ** 2) if wave is None else wave
    signal = np.zeros((n_windows, N_SAMPLES, len(LEADS)))
    signal[:, :, 2] = bump
    return Evidence(
        signal_mv=signal,
        without_mv=np.zeros_like(signal),
        signal=SIGNAL,
        patients=np.arange(n_windows).astype(str),
    )


def make_attribution(values, axes=(TIME, LEAD)):
    return Attribution(
        values=values,
        axes=axes,
        unit="logit",
        input_name="signal",
        method="m",
        class_name="T",
        windows=tuple(str(k) for k in range(len(values))),
    )


def test_the_evidence_itself_always_hits_and_ranks_the_true_lead_first():
    evidence = make_evidence(5)

    time, lead = score_pointing(make_attribution(evidence.signal_mv), evidence)

    assert (time.hits, lead.hits, lead.rank, lead.rank_best) == (1.0, 1.0, 1.0, 1.0)
    assert (lead.hits_chance, lead.rank_chance) == (0.25, 2.5)


def test_the_region_of_a_gaussian_has_the_width_that_holds_90_percent_of_its_energy():
    region = make_evidence(1).find_region(TIME)

    # The square of a Gaussian of SD s has the SD s / sqrt(2): 90 % within 1.645 of these.
    width_s = 2 * 1.645 * 0.03 / np.sqrt(2)
    assert region.sum() == pytest.approx(width_s * RATE_HZ, abs=1.5)


def test_an_attribution_elsewhere_never_hits():
    evidence = make_evidence(5)
    elsewhere = np.roll(evidence.signal_mv, (60, 1), axis=(1, 2))

    time, lead = score_pointing(make_attribution(elsewhere), evidence)

    assert (time.hits, lead.hits) == (0.0, 0.0)


def test_noise_hits_as_often_as_chance_says():
    evidence = make_evidence(1500)
    noise = np.random.default_rng(0).standard_normal(evidence.signal_mv.shape)

    time, lead = score_pointing(make_attribution(noise), evidence)

    assert time.hits == pytest.approx(time.hits_chance, abs=0.015)
    assert lead.hits == pytest.approx(lead.hits_chance, abs=0.04)
    assert lead.rank == pytest.approx(lead.rank_chance, abs=0.1)
    assert time.hits_low < time.hits_chance < time.hits_high


def test_an_attribution_that_is_equal_everywhere_counts_as_chance():
    evidence = make_evidence(3)

    time, lead = score_pointing(make_attribution(np.zeros((3, N_SAMPLES, 4))), evidence)

    assert time.hits == pytest.approx(time.hits_chance)
    assert lead.rank == 2.5


def test_a_sine_is_found_at_its_frequency_on_any_frequency_axis():
    evidence = make_evidence(2, np.sin(2 * np.pi * 20 * TIME.values))
    bands = Axis(name="frequency", unit="Hz", values=np.arange(2.5, 50, 5))
    at_20_hz, in_20_to_25_hz = np.zeros((2, 101)), np.zeros((2, 10))
    at_20_hz[:, 40] = 1
    in_20_to_25_hz[:, 4] = 1

    (fine,) = score_pointing(make_attribution(at_20_hz, (FREQUENCY,)), evidence)
    (coarse,) = score_pointing(make_attribution(in_20_to_25_hz, (bands,)), evidence)

    assert (fine.hits, fine.hits_chance) == (1.0, pytest.approx(1 / 101))
    assert (coarse.hits, coarse.hits_chance) == (1.0, pytest.approx(1 / 10))


def test_a_t_wave_of_every_beat_is_the_wave_t_by_the_r_peaks():
    since_s = TIME.values[:, None] - np.array([0.3, 1.1, 1.9])
    r_waves = np.exp(-((since_s / 0.015) ** 2)).sum(axis=1)
    t_waves = 0.3 * np.exp(-(((since_s - 0.26) / 0.03) ** 2)).sum(axis=1)
    evidence = make_evidence(2, t_waves)
    evidence = dataclasses.replace(
        evidence,
        signal_mv=evidence.signal_mv + r_waves[:, None],
        without_mv=evidence.without_mv + r_waves[:, None],
    )
    waves = Axis(name="wave", unit="", values=np.array(["P", "QRS", "T", "other"]))

    assert evidence.find_region(waves).tolist() == [[False, False, True, False]] * 2


def test_other_windows_and_axes_are_refused():
    evidence = make_evidence(2)
    column = Axis(name="column", unit="", values=np.array(["age"]))

    with pytest.raises(EcgError, match="3 windows"):
        score_pointing(make_attribution(np.zeros((3, N_SAMPLES, 4))), evidence)
    with pytest.raises(EcgError, match="no axis 'column'"):
        score_pointing(make_attribution(np.zeros((2, 1)), (column,)), evidence)


def test_the_mean_over_patients_is_that_of_pandas_and_its_interval_that_of_scipy():
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 40, 200)
    values = rng.standard_normal((200, 2)) + rng.standard_normal(40)[patients][:, None]

    found = average_over_patients(values, patients.astype(str), n_resamples=4000)

    means = pd.DataFrame(values).groupby(patients).mean().to_numpy()
    reference = bootstrap((means,), np.mean, method="percentile", n_resamples=4000, rng=1)
    np.testing.assert_allclose(found.estimate, means.mean(axis=0))
    np.testing.assert_allclose(found.low, reference.confidence_interval.low, atol=0.03)
    np.testing.assert_allclose(found.high, reference.confidence_interval.high, atol=0.03)


def test_missing_values_are_ignored_and_one_patient_has_no_interval():
    values = np.array([[1.0, np.nan], [3.0, np.nan]])

    found = average_over_patients(values, np.array(["a", "a"]))

    np.testing.assert_array_equal(found.estimate, [2.0, np.nan])
    assert np.isnan(found.low).all()
