"""The layers of filters and representations, each against the usual library."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Figure, Side, alternate, compute_medians, compute_ratios
from benchmarks.noise import LEADS, RATE_HZ

if TYPE_CHECKING:
    from ecglib.preprocessing import SignalLayer

BATCH = 64
N_SAMPLES = 1000
ROUNDS = 7
SPEED = "windows/s"
BAND_HZ = (0.5, 40.0)
PAD_S = 3.0


def measure_scalogram() -> Figure:
    """The scalogram layer against pywt.cwt, lead by lead."""
    import ecglib._keras  # noqa: F401

    import pywt

    from ecglib.representations import Scalogram

    windows, n_peer = _make_windows(), 2
    layer = Scalogram(RATE_HZ)
    # The same frequencies and the same wavelet: a standard deviation of w0 / (2 pi) cycles.
    scales = RATE_HZ / layer.compute_frequencies_hz(N_SAMPLES)
    wavelet = f"cmor{2 * (layer.w0 / (2 * np.pi)) ** 2:.6f}-1.0"

    def transform_each_lead(method: str) -> None:
        for window in windows[:n_peer]:
            for lead in window.T:
                coefficients, _ = pywt.cwt(lead, scales, wavelet, method=method)
                10 * np.log10(np.abs(coefficients) ** 2 + 1e-6)

    sides = {
        "layer": Side(repeat(_compile_layer(layer, windows), 2), 2 * BATCH),
        "pywt.cwt by FFT": Side(lambda: transform_each_lead("fft"), n_peer),
        "pywt.cwt by default, by convolution": Side(lambda: transform_each_lead("conv"), n_peer),
    }
    speeds = alternate(sides, ROUNDS, "representations.scalogram")
    return Figure(
        name="representations.scalogram",
        what=f"Scalogram, {len(LEADS)} leads, {len(scales)} frequencies, batches of {BATCH}",
        against=(
            "the usual way: pywt.cwt with the same wavelets, one lead at a time, by its faster "
            "method"
        ),
        floor=10.0,
        ratios=compute_ratios(speeds["layer"], speeds["pywt.cwt by FFT"]),
        detail=compute_medians(speeds, SPEED),
    )


def measure_spectrogram() -> Figure:
    """The spectrogram layer against scipy.signal.spectrogram, lead by lead."""
    windows = _make_windows()

    def transform_each_lead() -> None:
        for window in windows[: BATCH // 2]:
            for lead in window.T:
                compute_scipy_spectrogram(lead)

    return _measure_spectrogram(
        "representations.spectrogram",
        "the usual way: scipy.signal.spectrogram, one lead at a time",
        8.0,
        Side(transform_each_lead, BATCH // 2),
        windows,
    )


def measure_spectrogram_batch() -> Figure:
    """The spectrogram layer against scipy.signal.spectrogram of a whole batch in float32."""
    windows = _make_windows()
    batch = np.ascontiguousarray(windows.transpose(0, 2, 1))
    return _measure_spectrogram(
        "representations.spectrogram_batch",
        "scipy.signal.spectrogram of the whole batch in float32",
        2.0,
        Side(lambda: compute_scipy_spectrogram(batch), BATCH),
        windows,
    )


def measure_band_pass() -> Figure:
    """The band-pass layer against scipy.signal.sosfiltfilt, record by record."""
    import ecglib._keras  # noqa: F401

    from scipy.signal import butter, sosfiltfilt

    from ecglib.preprocessing import BandPass

    windows = _make_windows()
    band_pass = _compile_layer(BandPass(RATE_HZ, *BAND_HZ), windows)
    sos = butter(3, BAND_HZ, "band", fs=RATE_HZ, output="sos")

    def filter_each_record() -> None:
        for window in windows:
            sosfiltfilt(sos, window, axis=0, padlen=round(PAD_S * RATE_HZ))

    sides = {
        "layer": Side(repeat(band_pass, 25), 25 * BATCH),
        "with SciPy": Side(repeat(filter_each_record, 5), 5 * BATCH),
    }
    speeds = alternate(sides, ROUNDS, "representations.band_pass")
    return Figure(
        name="representations.band_pass",
        what=f"BandPass, {len(LEADS)} leads, batches of {BATCH}, extended infinitely",
        against=(
            f"the usual way: scipy.signal.sosfiltfilt padded by {PAD_S:g} s, one record at a time"
        ),
        floor=4.0,
        ratios=compute_ratios(speeds["layer"], speeds["with SciPy"]),
        detail=compute_medians(speeds, SPEED),
    )


def compute_scipy_spectrogram(leads: np.ndarray) -> None:
    """Compute what Spectrogram computes by default, with SciPy over the last axis."""
    from scipy.signal import spectrogram as compute

    n_window, n_hop = round(0.64 * RATE_HZ), round(0.16 * RATE_HZ)
    _, _, density = compute(leads, RATE_HZ, "hann", n_window, n_window - n_hop, detrend="constant")
    10 * np.log10(density + 1e-6)


def repeat(run: Callable[[], object], n: int) -> Callable[[], None]:
    """Return a function that runs another `n` times, so that a round is long enough to time."""

    def run_repeatedly() -> None:
        for _ in range(n):
            run()

    return run_repeatedly


def _measure_spectrogram(
    name: str, against: str, floor: float, peer: Side, windows: np.ndarray
) -> Figure:
    import ecglib._keras  # noqa: F401

    from ecglib.representations import Spectrogram

    layer = _compile_layer(Spectrogram(RATE_HZ), windows)
    sides = {"layer": Side(repeat(layer, 5), 5 * BATCH), "with SciPy": peer}
    speeds = alternate(sides, ROUNDS, name)
    return Figure(
        name=name,
        what=f"Spectrogram, {len(LEADS)} leads, batches of {BATCH}",
        against=against,
        floor=floor,
        ratios=compute_ratios(speeds["layer"], speeds["with SciPy"]),
        detail=compute_medians(speeds, SPEED),
    )


def _make_windows() -> np.ndarray:
    shape = (BATCH, N_SAMPLES, len(LEADS))
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _compile_layer(layer: SignalLayer, windows: np.ndarray) -> Callable[[], np.ndarray]:
    """Return a function that applies a layer as the input pipeline does: in a graph, to a batch."""
    import tensorflow as tf

    graph = tf.function(layer, jit_compile=False)
    batch = tf.constant(windows)
    return lambda: graph(batch).numpy()


FIGURES = {
    "scalogram": measure_scalogram,
    "spectrogram": measure_spectrogram,
    "spectrogram_batch": measure_spectrogram_batch,
    "band_pass": measure_band_pass,
}
