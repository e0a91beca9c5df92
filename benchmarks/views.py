"""Filters and views as layers, each against the usual library."""

import numpy as np

from benchmarks.measure import Figure, Side, alternate, medians, ratios
from benchmarks.noise import LEADS, RATE_HZ

BATCH = 64
N_SAMPLES = 1000
ROUNDS = 7
SPEED = "windows/s"
BAND_HZ = (0.5, 40.0)
PAD_S = 3.0


def scalogram() -> Figure:
    """The scalogram layer against pywt.cwt, lead by lead."""
    import ecglib._keras  # noqa: F401

    import pywt

    from ecglib.representations import Scalogram

    windows, n_peer = _windows(), 2
    view = Scalogram(RATE_HZ)
    # The same frequencies and the same wavelet: cycles of a deviation of w0 / (2 pi) seconds.
    scales = RATE_HZ / view.frequencies_hz(N_SAMPLES)
    wavelet = f"cmor{2 * (view.w0 / (2 * np.pi)) ** 2:.6f}-1.0"

    def lead_by_lead(method: str):
        for window in windows[:n_peer]:
            for lead in window.T:
                coefficients, _ = pywt.cwt(lead, scales, wavelet, method=method)
                10 * np.log10(np.abs(coefficients) ** 2 + 1e-6)

    sides = {
        "layer": Side(passes(_layer(view, windows), 2), 2 * BATCH),
        "pywt.cwt by FFT": Side(lambda: lead_by_lead("fft"), n_peer),
        "pywt.cwt as it comes, by convolution": Side(lambda: lead_by_lead("conv"), n_peer),
    }
    speeds = alternate(sides, ROUNDS, "views.scalogram")
    return Figure(
        "views.scalogram",
        f"Scalogram, {len(LEADS)} leads, {len(scales)} frequencies, batches of {BATCH}",
        "the usual way: pywt.cwt with the same wavelets, a lead at a time, by its faster method",
        10.0,
        ratios(speeds["layer"], speeds["pywt.cwt by FFT"]),
        medians(speeds, SPEED),
    )


def spectrogram() -> Figure:
    """The spectrogram layer against scipy.signal.spectrogram, lead by lead."""
    windows = _windows()

    def lead_by_lead():
        for window in windows[: BATCH // 2]:
            for lead in window.T:
                scipy_spectrogram(lead)

    return _spectrogram(
        "views.spectrogram",
        "the usual way: scipy.signal.spectrogram, a lead at a time",
        8.0,
        Side(lead_by_lead, BATCH // 2),
        windows,
    )


def spectrogram_batch() -> Figure:
    """The spectrogram layer against scipy.signal.spectrogram of a whole batch in float32."""
    windows = _windows()
    batch = np.ascontiguousarray(windows.transpose(0, 2, 1))
    return _spectrogram(
        "views.spectrogram_batch",
        "scipy.signal.spectrogram of the whole batch in float32",
        2.0,
        Side(lambda: scipy_spectrogram(batch), BATCH),
        windows,
    )


def band_pass() -> Figure:
    """The band-pass layer against scipy.signal.sosfiltfilt, record by record."""
    import ecglib._keras  # noqa: F401

    from scipy.signal import butter, sosfiltfilt

    from ecglib.preprocessing import BandPass

    windows = _windows()
    sos = butter(3, BAND_HZ, "band", fs=RATE_HZ, output="sos")

    def record_by_record():
        for window in windows:
            sosfiltfilt(sos, window, axis=0, padlen=round(PAD_S * RATE_HZ))

    sides = {
        "layer": Side(passes(_layer(BandPass(RATE_HZ, *BAND_HZ), windows), 25), 25 * BATCH),
        "with SciPy": Side(passes(record_by_record, 5), 5 * BATCH),
    }
    speeds = alternate(sides, ROUNDS, "views.band_pass")
    return Figure(
        "views.band_pass",
        f"BandPass, {len(LEADS)} leads, batches of {BATCH}, padded without end",
        f"the usual way: scipy.signal.sosfiltfilt padded by {PAD_S:g} s, a record at a time",
        4.0,
        ratios(speeds["layer"], speeds["with SciPy"]),
        medians(speeds, SPEED),
    )


def scipy_spectrogram(leads: np.ndarray) -> None:
    """What Spectrogram gives with its defaults, over the last axis."""
    from scipy.signal import spectrogram as compute

    n_window, n_hop = round(0.64 * RATE_HZ), round(0.16 * RATE_HZ)
    _, _, density = compute(leads, RATE_HZ, "hann", n_window, n_window - n_hop, detrend="constant")
    10 * np.log10(density + 1e-6)


def passes(run, n: int):
    """A function that runs another n times, so that a round is long enough to be timed."""

    def runs():
        for _ in range(n):
            run()

    return runs


def _spectrogram(name: str, against: str, floor: float, peer: Side, windows) -> Figure:
    import ecglib._keras  # noqa: F401

    from ecglib.representations import Spectrogram

    layer = _layer(Spectrogram(RATE_HZ), windows)
    sides = {"layer": Side(passes(layer, 5), 5 * BATCH), "with SciPy": peer}
    speeds = alternate(sides, ROUNDS, name)
    return Figure(
        name,
        f"Spectrogram, {len(LEADS)} leads, batches of {BATCH}",
        against,
        floor,
        ratios(speeds["layer"], speeds["with SciPy"]),
        medians(speeds, SPEED),
    )


def _windows() -> np.ndarray:
    shape = (BATCH, N_SAMPLES, len(LEADS))
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _layer(view, windows: np.ndarray):
    """A function that applies a layer as the feed does: in a graph, on one batch."""
    import tensorflow as tf

    graph = tf.function(view, jit_compile=False)
    fixed = tf.constant(windows)
    return lambda: graph(fixed).numpy()


FIGURES = {
    "scalogram": scalogram,
    "spectrogram": spectrogram,
    "spectrogram_batch": spectrogram_batch,
    "band_pass": band_pass,
}
