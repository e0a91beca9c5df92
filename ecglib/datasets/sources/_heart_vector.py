"""One synthetic ECG from an explicit description: waves, beats, leads and noise.

The heart is a current dipole that changes during the beat. Each wave (P, the parts of QRS, ST, T)
is a Gaussian in time (McSharry et al. 2003) with a three-dimensional amplitude (Sameni et al.
2007); the leads measure their sum, the heart vector, through the lead field of Dower (1968).
Frank's axes in mV: X to the left, Y to the feet, Z to the back. A lesion changes the vectors, so
the leads that face it and the reciprocal ones change together.

Noise arises at the nine electrodes, not in the leads, so Einthoven's and Goldberger's relations
hold for it as well. Everything is simulated at 500 Hz. The decimation filter to 100 Hz passes 40 Hz
and damps the mains, at 50 Hz on the new Nyquist frequency, by 22 dB: the small remainder appears in
the last bins of the spectrum, as in PTB-XL's 100 Hz records.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy.signal import firwin, resample_poly

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RATE_HZ, N_SAMPLES = 100, 1000
FINE_HZ, MARGIN_S = 500, 0.5
_ANTI_ALIAS = firwin(101, 45.0, fs=FINE_HZ, window=("kaiser", 5.0))

MEASURED_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
# One row for each of these; columns X, Y, Z.
DOWER = np.array(
    [
        (0.632, -0.235, 0.059),
        (0.235, 1.066, -0.132),
        (-0.515, 0.157, -0.917),
        (0.044, 0.164, -1.387),
        (0.882, 0.098, -1.277),
        (1.213, 0.127, -0.601),
        (1.125, 0.127, -0.086),
        (0.831, 0.076, 0.230),
    ]
)
# From the potentials of RA, LA, LL, C1 to C6 to the same rows.
ELECTRODES = np.zeros((8, 9))
ELECTRODES[0, [0, 1]] = -1, 1
ELECTRODES[1, [0, 2]] = -1, 1
ELECTRODES[2:, :3] = -1 / 3
ELECTRODES[2:, 3:] = np.eye(6)

# A wave is (centre ms, width ms, X, Y, Z mV); the centre counts from the middle of QRS.
# All QRS shapes have the same six waves, so that one can be blended with another.
_QRS_WAVES: dict[str, tuple] = {
    "normal": (
        (-26, 8, -0.10, -0.04, -0.30),
        (-24, 11, 0, 0, 0),
        (0, 11, 1.00, 0.75, 0.10),
        (18, 11, 0.20, -0.05, 0.70),
        (36, 9, -0.10, -0.10, 0.10),
        (46, 9, 0, 0, 0),
    ),
    "rbbb": (
        (-26, 8, -0.10, -0.04, -0.30),
        (-24, 11, 0, 0, 0),
        (0, 11, 0.95, 0.70, 0.10),
        (19, 12, 0.20, -0.05, 0.50),
        (52, 15, -0.40, -0.05, -0.50),
        (78, 17, -0.35, 0.05, -0.42),
    ),
    "lbbb": (
        (-38, 13, 0.12, 0.08, 0.06),
        (-24, 11, 0, 0, 0),
        (-12, 16, 0.72, 0.45, 0.50),
        (18, 14, 0.35, 0.15, 0.70),
        (46, 17, 0.78, 0.15, 0.75),
        (76, 14, 0.12, -0.10, 0.15),
    ),
    "rvh": (
        (-26, 8, 0.05, 0.05, -0.30),
        (-24, 11, 0, 0, 0),
        (0, 12, 0.15, 0.95, -0.75),
        (20, 12, -0.60, 0.25, -0.35),
        (38, 10, -0.45, -0.15, 0.10),
        (46, 9, 0, 0, 0),
    ),
}
_QRS = {name: np.array(waves, dtype=float) for name, waves in _QRS_WAVES.items()}
_P = np.array([(35, 16, 0.03, 0.08, -0.04), (62, 17, 0.05, 0.06, 0.05)])  # from the onset of P
_ST = np.array([(130, 45, 0.0, 0.02, -0.02)])
_T = np.array([(-45, 50, 0.14, 0.11, -0.07), (0, 36, 0.20, 0.165, -0.105)])  # from the peak of T
_FRAGMENTS = np.array([(c, 4.5, 0, 0, 0) for c in (-12, 2, 16, 30)])
P, QRS, ST, T = slice(0, 2), slice(2, 8), slice(12, 13), slice(13, 15)  # 8 to 12 are fragments
WAVES = {"P": P, "QRS": QRS, "T": T}
N_WAVES = 15
N_WIDTHS = 2  # of a Gaussian: 95 % of its area is nearer to its centre
ONSET_MS = -48.0  # of QRS

# Directions in which the dipole points at a region of the left ventricle.
TERRITORIES = {
    "anterior": np.array((0.40, -0.32, -0.86)),
    "inferior": np.array((-0.20, 0.97, 0.12)),
    "lateral": np.array((0.88, -0.44, 0.18)),
}
FINDINGS = (
    *(f"{territory}_mi" for territory in TERRITORIES),
    "old_mi",
    "fragmented_qrs",
    "st_depression",
    "t_inversion",
    "long_qt",
    "rbbb",
    "lbbb",
    "lafb",
    "av_block",
    "lvh",
    "rvh",
)


@dataclasses.dataclass(frozen=True)
class Heart:
    """What is the same in all records of a patient.

    Parameters
    ----------
    frontal_deg, horizontal_deg : float, default 0
        Rotation of the heart in the frontal and the horizontal plane, in degrees.
    voltage, t_voltage : float, default 1
        Factors of all amplitudes and of those of the T wave; a negative one turns the vectors
        round.
    qrs_stretch : float, default 1
        Factor of the duration of the QRS complex.
    pr_s, qtc_s : float, default 0.16, 0.41
        PR interval and corrected QT interval, in s.
    vectors : array of shape (15, 3)
        Deviations of the waves, relative to the size of each; 0 by default.
    timing : array of shape (15,)
        Deviations of the centres of the waves, in ms; 0 by default.
    lead_field : array of shape (8, 3)
        Deviations of the lead field, in mV per mV; 0 by default.
    ectopic : array of shape (3,)
        Direction in which ventricular ectopic beats spread.
    """

    frontal_deg: float = 0.0
    horizontal_deg: float = 0.0
    voltage: float = 1.0
    t_voltage: float = 1.0
    qrs_stretch: float = 1.0
    pr_s: float = 0.16
    qtc_s: float = 0.41
    vectors: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((N_WAVES, 3)))
    timing: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(N_WAVES))
    lead_field: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((8, 3)))
    ectopic: np.ndarray = dataclasses.field(default_factory=lambda: np.array((-0.7, 0.6, -0.4)))


@dataclasses.dataclass(frozen=True)
class Rhythm:
    """When the beats come.

    Parameters
    ----------
    rate_bpm : float, default 70
        Mean heart rate in beats per minute.
    respiration_hz : float, default 0.25
        Breathing rate in Hz.
    respiratory : float, default 0.03
        Change of the RR interval by breathing, relative to the interval.
    slow : float, default 0.015
        The same for the 0.1 Hz pressure wave.
    fibrillation_mv : float, default 0
        Size of fibrillatory waves in mV; above 0 there is no P and RR is irregular.
    fibrillation_hz : float, default 6
        Mean frequency of those waves in Hz.
    ventricular, atrial : float, default 0
        Probability that a beat is a ventricular or an atrial ectopic one.
    irregular : float, default 0
        Random variation of the RR interval from beat to beat, without memory: its standard
        deviation relative to the interval.
    """

    rate_bpm: float = 70.0
    respiration_hz: float = 0.25
    respiratory: float = 0.03
    slow: float = 0.015
    fibrillation_mv: float = 0.0
    fibrillation_hz: float = 6.0
    ventricular: float = 0.0
    atrial: float = 0.0
    irregular: float = 0.0


@dataclasses.dataclass(frozen=True)
class Noise:
    """Noise at each electrode.

    Parameters
    ----------
    wander_mv, muscle_mv, mains_mv : float, default 0.04, 0.01, 0.02
        Standard deviation of baseline wander, muscle noise and mains interference, in mV.
    artefacts : int, default 0
        Number of electrode artefacts.
    tremor_mv : float, default 0
        Amplitude of a rhythmic tremor of the muscles at some electrodes, in mV.
    tremor_hz, tremor_width_hz : float, default 25 and 1
        Mean frequency of the tremor and full width at half maximum of its line in the power
        spectrum, in Hz; the power does not depend on the width.
    tremor_electrodes : tuple of int, default (0, 1, 2)
        Where the tremor is, as the columns of `ELECTRODES`: RA, LA, LL, C1 to C6.
    """

    wander_mv: float = 0.04
    muscle_mv: float = 0.01
    mains_mv: float = 0.02
    artefacts: int = 0
    tremor_mv: float = 0.0
    tremor_hz: float = 25.0
    tremor_width_hz: float = 1.0
    tremor_electrodes: tuple[int, ...] = (0, 1, 2)


@dataclasses.dataclass(frozen=True)
class LocalWave:
    """A wave that only one chest lead has, in each beat.

    Parameters
    ----------
    lead : str
        One of V1 to V6.
    wave : {"P", "QRS", "T"}
        The wave in whose middle it is.
    amplitude_mv : float
        Its height in mV.
    width_ms : float
        Standard deviation of the Gaussian in ms.
    """

    lead: str
    wave: str
    amplitude_mv: float
    width_ms: float


@dataclasses.dataclass(frozen=True)
class Description:
    """Everything that decides a record except the random numbers.

    Parameters
    ----------
    heart : Heart
        The patient's heart.
    rhythm : Rhythm
        When the beats come.
    noise : Noise
        What the electrodes add.
    findings : dict of str to float, default {}
        Severity of each of `FINDINGS` between 0 and 1; absent ones are 0. ``old_mi`` is the age of
        an infarct: at 0 ST is elevated, at 1 only Q waves and inverted T remain.
    beat_variation : float, default 0.04
        Standard deviation of the amplitude of a wave from beat to beat, relative to it.
    local_waves : tuple of LocalWave, default ()
        Waves that single leads have.
    """

    heart: Heart = dataclasses.field(default_factory=Heart)
    rhythm: Rhythm = dataclasses.field(default_factory=Rhythm)
    noise: Noise = dataclasses.field(default_factory=Noise)
    findings: dict[str, float] = dataclasses.field(default_factory=dict)
    beat_variation: float = 0.04
    local_waves: tuple[LocalWave, ...] = ()


class BeatWaves(NamedTuple):
    """Where the waves of a simulated record are.

    Parameters
    ----------
    times_s : array of shape (n_beats,)
        Middle of each QRS complex, in s from the start of the record; beats at its edges are
        partly outside.
    intervals_s : dict of str to array of shape (n_beats, 2)
        "P", "QRS" and "T" -> start and end of the wave in s from the middle of its QRS complex;
        nan in beats without it.

    Examples
    --------
    >>> waves = locate_waves(Description(), entropy=0)
    >>> waves.intervals_s["QRS"].shape == (len(waves.times_s), 2)
    True
    """

    times_s: np.ndarray
    intervals_s: dict[str, np.ndarray]


def locate_waves(
    description: Description, entropy: int, key: tuple[int, int] = (0, 0)
) -> BeatWaves:
    """Locate the waves of the record that `render` simulates.

    Parameters
    ----------
    description : Description
        Heart, rhythm, noise and findings.
    entropy : int
        Seed of the dataset.
    key : tuple of int, default (0, 0)
        Patient and visit.

    Returns
    -------
    BeatWaves
        A wave lasts from two widths before its first Gaussian to two widths after its last one.

    Examples
    --------
    >>> waves = locate_waves(Description(rhythm=Rhythm(rate_bpm=60.0)), entropy=0)
    >>> {name: np.nanmedian(x, axis=0).round(2).tolist() for name, x in waves.intervals_s.items()}
    {'P': [-0.2, -0.11], 'QRS': [-0.04, 0.05], 'T': [0.13, 0.35]}
    """
    beat_rng, _ = _make_generators(entropy, key)
    beats, waves = _draw_waves(description, beat_rng)
    is_absent = ~waves.vectors.any(axis=2)
    starts = np.where(is_absent, np.inf, waves.centres - N_WIDTHS * waves.widths) / 1000
    ends = np.where(is_absent, -np.inf, waves.centres + N_WIDTHS * waves.widths) / 1000
    intervals_s = {}
    for name, part in WAVES.items():
        found = np.stack([starts[:, part].min(axis=1), ends[:, part].max(axis=1)], axis=1)
        intervals_s[name] = np.where(np.isfinite(found), found, np.nan)
    return BeatWaves(times_s=beats.times, intervals_s=intervals_s)


def _make_generators(
    entropy: int, key: tuple[int, int]
) -> tuple[np.random.Generator, np.random.Generator]:
    """Make the random numbers of beats and of noise, which cannot depend on the findings."""
    beat_rng, noise_rng = (
        np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(*key, stream)))
        for stream in (1, 2)
    )
    return beat_rng, noise_rng


def render(description: Description, entropy: int, key: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Simulate the record of a description.

    Parameters
    ----------
    description : Description
        Heart, rhythm, noise and findings.
    entropy : int
        Seed of the dataset.
    key : tuple of int, default (0, 0)
        Patient and visit; together with `entropy` they seed the random numbers.

    Returns
    -------
    array of shape (1000, 12)
        The record in mV at 100 Hz, leads in the order of `LEADS`.

    Examples
    --------
    >>> render(Description(rhythm=Rhythm(rate_bpm=80.0)), entropy=0).shape
    (1000, 12)
    """
    beat_rng, noise_rng = _make_generators(entropy, key)
    t = np.arange(-MARGIN_S, N_SAMPLES / RATE_HZ + MARGIN_S, 1 / FINE_HZ)
    dipole = _simulate_dipole(description, t, beat_rng)
    leads = (DOWER + description.heart.lead_field) @ dipole
    if description.local_waves:
        beat_rng, _ = _make_generators(entropy, key)
        leads += _simulate_local_waves(description, t, beat_rng)
    leads += ELECTRODES @ _simulate_electrode_noise(description, t, noise_rng)
    return _add_limb_leads(_decimate(leads)).T


def _add_limb_leads(leads: np.ndarray) -> np.ndarray:
    """Add the four limb leads that follow from I and II (Einthoven, Goldberger)."""
    one, two = leads[:2]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.vstack([*limb, leads[2:]])


def _decimate(x: np.ndarray) -> np.ndarray:
    """Decimate from 500 to 100 Hz with a linear-phase filter, and cut off the margins."""
    factor = FINE_HZ // RATE_HZ
    x = resample_poly(x, 1, factor, axis=-1, window=_ANTI_ALIAS)
    start = round(MARGIN_S * RATE_HZ)
    return x[..., start : start + N_SAMPLES]


# ---------------------------------------------------------------------------- the beat


class _Waves(NamedTuple):
    """Centres (..., 15) in ms from the middle of QRS, widths in ms, vectors (..., 15, 3) in mV."""

    centres: np.ndarray
    widths: np.ndarray
    vectors: np.ndarray


class _Beats(NamedTuple):
    """Times of the beats in s, the RR interval before each in s, and which are ectopic."""

    times: np.ndarray
    rr: np.ndarray
    ventricular: np.ndarray
    atrial: np.ndarray


def _make_waves(heart: Heart, findings: dict[str, float]) -> _Waves:
    """Make the waves of one beat at 60 per minute."""
    sev = {name: findings.get(name, 0.0) for name in FINDINGS}
    qrs = _make_qrs(sev)
    # Conduction delay ends QRS later; ST and T move with its end.
    late = 45.0 * max(sev["rbbb"], sev["lbbb"])
    p, st, t = _P.copy(), _ST.copy(), _T.copy()
    p[:, 0] += ONSET_MS - 1000 * heart.pr_s - 130 * sev["av_block"]
    st[:, 0] += late
    t[:, 0] += ONSET_MS + 1000 * (heart.qtc_s + 0.10 * sev["long_qt"]) - 85 + 0.6 * late
    st[0, 2:], t[:, 2:] = _make_repolarisation(sev, st[0, 2:], heart.t_voltage * t[:, 2:])
    fragments = _FRAGMENTS.copy()
    # Successive fragments point in opposite directions, 14 ms apart: content around 35 Hz.
    fragments[:, 2:] = np.outer((1, -1, 1, -1), (0.11, 0.12, 0.09)) * 1.6 * sev["fragmented_qrs"]
    waves = np.vstack([p, qrs, fragments, st, t])
    centres, widths, vectors = waves[:, 0] + heart.timing, waves[:, 1].copy(), waves[:, 2:]
    centres[2:12] *= heart.qrs_stretch
    widths[2:12] *= heart.qrs_stretch
    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors + size * heart.vectors
    return _Waves(centres, widths, heart.voltage * vectors @ _make_heart_rotation(heart).T)


def _make_qrs(sev: dict[str, float]) -> np.ndarray:
    """Make the six waves of QRS, shape (6, 5), with block, hypertrophy and infarct applied."""
    normal = _QRS["normal"]
    qrs = normal + sum(sev[name] * (_QRS[name] - normal) for name in ("rbbb", "lbbb", "rvh"))
    qrs[2:4, 2:] *= 1 + sev["lvh"] * np.array((0.85, 0.35, 1.15))
    qrs[2:4, 1] *= 1 + 0.15 * sev["lvh"]
    # Left anterior fascicular block: activation starts downwards and ends up and to the left.
    qrs[2:5, 2:] = qrs[2:5, 2:] @ _make_rotation(0, 1, -75 * sev["lafb"]).T
    qrs[0, 3] += 0.20 * sev["lafb"]
    for territory, towards in TERRITORIES.items():
        dead = sev[f"{territory}_mi"] * (0.55 + 0.45 * sev["old_mi"])
        qrs[1, 2:] -= 0.80 * dead * towards
        facing = np.maximum(qrs[[0, 2], 2:] @ towards, 0)
        qrs[[0, 2], 2:] -= 0.75 * dead * np.outer(facing, towards)
    return qrs


def _make_repolarisation(
    sev: dict[str, float], st: np.ndarray, t: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Change ST vector (3,) and T vectors (2, 3) by ischaemia, strain, block and infarct."""
    t = t * (1 - 1.5 * sev["t_inversion"])
    st = st - 0.17 * sev["st_depression"] * np.array((0.85, 0.5, -0.15))
    t = t * (1 - 0.4 * sev["st_depression"])
    opposite = {  # ST and the main part of T turn away from the delayed or thick wall, in mV
        "lbbb": (-0.42, -0.12, -0.40),
        "rbbb": (0.06, 0.00, 0.22),
        "lvh": (-0.32, -0.16, -0.06),
        "rvh": (0.02, -0.20, 0.24),
    }
    for name, vector in opposite.items():
        st = st + 0.35 * sev[name] * np.array(vector)
        t = t + np.outer((0.4, 0.8), sev[name] * np.array(vector))
    for territory, towards in TERRITORIES.items():
        fresh, old = (sev[f"{territory}_mi"] * a for a in (1 - sev["old_mi"], sev["old_mi"]))
        st = st + 0.28 * fresh * towards
        t = t + np.outer((0.5, 0.7), (0.20 * fresh - 0.45 * old) * towards)
    return st, t


def _make_rotation(a: int, b: int, degrees: float) -> np.ndarray:
    """Make the rotation from axis `a` towards axis `b`, shape (3, 3)."""
    matrix = np.eye(3)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix[[a, b], [a, b]] = cos
    matrix[a, b], matrix[b, a] = -sin, sin
    return matrix


def _make_heart_rotation(heart: Heart) -> np.ndarray:
    """Make the rotation of the heart in the chest, shape (3, 3)."""
    return _make_rotation(0, 1, heart.frontal_deg) @ _make_rotation(0, 2, heart.horizontal_deg)


# ---------------------------------------------------------------------------- the beats


def _draw_beats(rhythm: Rhythm, rng: np.random.Generator) -> _Beats:
    """Draw when the beats come and which are ectopic."""
    mean = 60.0 / rhythm.rate_bpm
    n = int(np.ceil(14.0 / (0.6 * mean))) + 2
    phase = rng.uniform(0, 2 * np.pi, 2)
    t = mean * np.arange(n)
    if rhythm.fibrillation_mv > 0:
        rr = mean * np.maximum(rng.gamma(20.0, 1 / 20.0, n), 0.5)
    else:
        rr = mean * (
            1
            + rhythm.respiratory * np.sin(2 * np.pi * rhythm.respiration_hz * t + phase[0])
            + rhythm.slow * np.sin(2 * np.pi * 0.1 * t + phase[1])
            + np.hypot(0.006, rhythm.irregular) * rng.standard_normal(n)
        )
        rr = np.maximum(rr, 0.5 * mean)
    draws = rng.random(n)
    ventricular = draws < rhythm.ventricular
    atrial = ~ventricular & (draws < rhythm.ventricular + rhythm.atrial)
    ventricular[1:] &= ~ventricular[:-1]
    early = ventricular | atrial
    rr[early] *= 0.65
    rr[1:][ventricular[:-1]] *= 1.35  # the compensatory pause
    times = -2.0 - rng.uniform(0, mean) + np.cumsum(rr)
    near = (times > -1.5) & (times < 11.5)
    return _Beats(times[near], rr[near], ventricular[near], atrial[near])


def _simulate_dipole(
    description: Description, t: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Simulate the heart vector over time, shape (3, len(t)), in mV."""
    beats, waves = _draw_waves(description, rng)
    dipole = _sum_gaussians(t, beats.times, waves)
    if description.rhythm.fibrillation_mv > 0:
        dipole += _simulate_fibrillation(description.rhythm, t, rng)
    return dipole


def _simulate_local_waves(
    description: Description, t: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Simulate the waves of single chest leads, shape (8, len(t)), in mV.

    The random numbers are those of the heart vector, so that the beats are the same.
    """
    beats, waves = _draw_waves(description, rng)
    n, local = len(beats.times), description.local_waves
    centres = [waves.centres[:, WAVES[one.wave]].mean(axis=1) for one in local]
    vectors = np.zeros((n, len(local), len(MEASURED_LEADS)))
    for place, one in enumerate(local):
        vectors[:, place, MEASURED_LEADS.index(one.lead)] = one.amplitude_mv
    widths = np.tile([one.width_ms for one in local], (n, 1))
    return _sum_gaussians(t, beats.times, _Waves(np.stack(centres, axis=1), widths, vectors))


def _draw_waves(description: Description, rng: np.random.Generator) -> tuple[_Beats, _Waves]:
    """Draw the beats and the waves of each, with one row for each beat."""
    rhythm, heart = description.rhythm, description.heart
    beats = _draw_beats(rhythm, rng)
    waves = _make_waves(heart, description.findings)
    n = len(beats.times)
    # Repolarisation and conduction shorten with the square root of RR (Bazett), slowly.
    pace = np.sqrt(0.3 * beats.rr + 0.7 * 60.0 / rhythm.rate_bpm)
    c, w, v = (np.repeat(x[None], n, axis=0) for x in waves)
    c[:, T] = ONSET_MS + (c[:, T] - ONSET_MS) * pace[:, None]
    w[:, T] *= pace[:, None]
    c[:, ST] *= 0.5 + 0.5 * pace[:, None]
    v *= 1 + description.beat_variation * rng.standard_normal((n, N_WAVES, 1))
    w *= 1 + 0.3 * description.beat_variation * rng.standard_normal((n, N_WAVES))
    breath = np.sin(2 * np.pi * rhythm.respiration_hz * beats.times + rng.uniform(0, 2 * np.pi))
    v *= 1 + description.beat_variation * breath[:, None, None]
    if rhythm.fibrillation_mv > 0:
        v[:, P] = 0
    v[beats.atrial, P] *= (-0.5, -0.3, 1.0)
    _make_ventricular(_Waves(c, w, v), beats.ventricular, heart)
    return beats, _Waves(c, w, v)


def _make_ventricular(waves: _Waves, which: np.ndarray, heart: Heart) -> None:
    """Turn the chosen beats into ventricular ectopic ones, in place: no P, wide QRS, opposite T."""
    c, w, v = waves
    v[which, :13] = 0
    c[which, 2:5] = (-35, 10, 50)
    w[which, 2:5] = (20, 24, 20)
    v[which, 2:5] = np.outer((0.5, 1.1, 0.6), heart.ectopic)
    c[which, T] += 30
    v[which, T] = np.outer((-0.25, -0.35), heart.ectopic)


def _sum_gaussians(t: np.ndarray, times: np.ndarray, waves: _Waves) -> np.ndarray:
    """Sum over beats and waves, each beat on a short stretch of `t`; shape (3, len(t)).

    The vectors may have more than three components.
    """
    c, w, v = waves.centres / 1000, waves.widths / 1000, waves.vectors
    before, after = round(0.45 * FINE_HZ), round(0.70 * FINE_HZ)
    used = v.any(axis=(0, 2))
    c, w, v = c[:, used], w[:, used], v[:, used]
    middle = np.floor((times - t[0]) * FINE_HZ).astype(int)
    offsets = np.arange(-before, after) / FINE_HZ
    local = offsets - ((times - t[0]) * FINE_HZ - middle)[:, None] / FINE_HZ
    z = (local[:, None, :] - c[:, :, None]) / w[:, :, None]
    beats = v.transpose(0, 2, 1) @ np.exp(-0.5 * z * z)
    padded = np.zeros((v.shape[2], len(t) + 2 * (before + after) + 2 * FINE_HZ))
    origin = before + FINE_HZ
    for m, beat in zip(middle, beats, strict=True):
        start = origin + m - before
        padded[:, start : start + before + after] += beat
    return padded[:, origin : origin + len(t)]


def _simulate_fibrillation(rhythm: Rhythm, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate fibrillatory waves: a wandering sawtooth, strongest towards V1; (3, len(t))."""
    wander = np.cumsum(rng.standard_normal(len(t))) / np.sqrt(FINE_HZ)
    phase = 2 * np.pi * rhythm.fibrillation_hz * t + 1.2 * wander
    saw = np.sin(phase) + 0.4 * np.sin(2 * phase + 0.5)
    size = 1 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * t + rng.uniform(0, 2 * np.pi))
    return rhythm.fibrillation_mv * np.outer((-0.25, 0.55, -0.8), size * saw)


# ---------------------------------------------------------------------------- the noise


def _simulate_electrode_noise(
    description: Description, t: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Simulate the noise at the nine electrodes, shape (9, len(t)), in mV."""
    noise, n = description.noise, len(ELECTRODES[0])
    frequency = np.array((0.05, 0.11, 0.19, description.rhythm.respiration_hz, 0.45))
    weight = np.array((1.0, 0.8, 0.5, 0.8, 0.25))
    angle = 2 * np.pi * frequency[:, None] * t
    size = noise.wander_mv * weight * rng.standard_normal((2, n, 5))
    x = size[0] @ np.sin(angle) + size[1] @ np.cos(angle)
    # Muscle: white noise with weaker low frequencies, whose strength varies slowly.
    white = rng.standard_normal((n, len(t) + 1), dtype=np.float32)
    swell = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.05, 0.3) * t + rng.uniform(0, 2 * np.pi))
    x += noise.muscle_mv * swell * (white[:, 1:] - 0.6 * white[:, :-1])
    mains = 2 * np.pi * (50 + 0.03 * rng.standard_normal()) * t
    coupling = noise.mains_mv * rng.standard_normal((2, n))
    x += coupling[0][:, None] * np.sin(mains) + coupling[1][:, None] * np.cos(mains)
    for _ in range(noise.artefacts):
        # An electrode moves: a jump that decays.
        electrode, start = rng.integers(n), rng.uniform(0, 10)
        since = np.maximum(t - start, 0)
        jump = rng.normal(0, 0.5) * np.exp(-since / rng.uniform(0.1, 0.8))
        x[electrode] += np.where(t >= start, jump, 0)
    if noise.tremor_mv > 0:
        x[list(noise.tremor_electrodes)] += _simulate_tremor(noise, t, rng)
    return x


def _simulate_tremor(noise: Noise, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate the tremor at its electrodes, shape (n_electrodes, len(t)), in mV.

    A sine whose phase is a random walk: its power spectrum is a Lorentzian line about the mean
    frequency, and its power does not depend on the width of the line.
    """
    steps = rng.standard_normal(len(t)) * np.sqrt(2 * np.pi * noise.tremor_width_hz / FINE_HZ)
    phase = 2 * np.pi * noise.tremor_hz * t + np.cumsum(steps) + rng.uniform(0, 2 * np.pi)
    coupling = rng.standard_normal((len(noise.tremor_electrodes), 1))
    return noise.tremor_mv * coupling / np.sqrt((coupling**2).mean()) * np.sin(phase)
