"""The input pipeline, from a prepared store to a network."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.measure import Figure, Side, alternate, compute_medians, compute_ratios
from benchmarks.memory import measure_extra_mb, measure_peaks_mb
from benchmarks.noise import LEADS, RATE_HZ, NoiseSource
from benchmarks.representations import compute_scipy_spectrogram, repeat
from ecglib.datasets.store import Dataset
from ecglib.datasets.units import STEP_MV
from ecglib.datasets.writer import write_store

if TYPE_CHECKING:
    import keras

    from ecglib.datasets.selection import Selection

N_RECORDS = 2000
BATCH = 64
ROUNDS = 7
SPEED = "windows/s"
THREE_REPRESENTATIONS = ["time", "frequency", "spectrogram"]
BAND_HZ = (0.5, 40.0)
N_WARM_UP_STEPS = 5  # more batches than are ready when the first step ends
N_STEP_ROUNDS = 3
ROUND_S = 0.3


def measure_limit() -> Figure:
    """Shuffled windows, as time series, against converting the same file in order."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_store(NoiseSource(N_RECORDS), folder, progress=False)
        steps = np.load(dataset.path / "signals.npy", mmap_mode="r")
        rows_at_once = BATCH * dataset.signal.n_samples
        # Always into the same buffer: new memory would make the limit ten times slower.
        buffer = np.empty((rows_at_once, steps.shape[1]), np.float32)

        def convert() -> None:
            for start in range(0, len(steps), rows_at_once):
                piece = steps[start : start + rows_at_once]
                np.multiply(piece, np.float32(STEP_MV), out=buffer[: len(piece)])

        sides = {
            "fed": Side(_make_feed(dataset, ["time"], n_passes=16), 16 * N_RECORDS),
            "converted in order": Side(repeat(convert, 16), 16 * N_RECORDS),
        }
        speeds = alternate(sides, ROUNDS, "feed.limit")
    return Figure(
        name="feed.limit",
        what="shuffled windows fed as time series, without a filter",
        against="the limit: int16 to float32 of the same file in order, into one buffer",
        floor=0.5,
        ratios=compute_ratios(speeds["fed"], speeds["converted in order"]),
        detail=compute_medians(speeds, SPEED),
    )


def measure_generator() -> Figure:
    """Shuffled windows, as time series, against a generator of one record at a time."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        dataset = write_store(NoiseSource(N_RECORDS), folder, progress=False)
        steps = np.load(dataset.path / "signals.npy", mmap_mode="r")
        y = dataset.select("noise").y
        n, n_samples = N_RECORDS // 2, dataset.signal.n_samples

        def yield_one_by_one() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for i in np.random.default_rng(0).permutation(N_RECORDS)[:n]:
                window = steps[i * n_samples : (i + 1) * n_samples]
                yield window.astype(np.float32) * np.float32(STEP_MV), y[i]

        shapes = (tf.TensorSpec((n_samples, len(LEADS))), tf.TensorSpec((y.shape[1],)))
        batches = tf.data.Dataset.from_generator(yield_one_by_one, output_signature=shapes)
        batches = batches.batch(BATCH).prefetch(tf.data.AUTOTUNE)
        sides = {
            "fed": Side(_make_feed(dataset, ["time"], n_passes=16), 16 * N_RECORDS),
            "from a generator": Side(lambda: _consume(batches), n),
        }
        speeds = alternate(sides, ROUNDS, "feed.generator")
    return Figure(
        name="feed.generator",
        what="shuffled windows fed as time series, without a filter",
        against="the usual way: tf.data from_generator, one record at a time from a memory map",
        floor=20.0,
        ratios=compute_ratios(speeds["fed"], speeds["from a generator"]),
        detail=compute_medians(speeds, SPEED),
    )


def measure_representations() -> Figure:
    """Band-pass and three representations in the feed, against SciPy record by record."""
    from scipy.signal import butter, sosfiltfilt

    with tempfile.TemporaryDirectory() as folder:
        dataset = write_store(NoiseSource(N_RECORDS // 2), folder, progress=False)
        n, n_peer = N_RECORDS // 2, BATCH
        band = butter(3, BAND_HZ, "band", fs=RATE_HZ, output="sos")
        pad = round(3 * RATE_HZ)

        def transform_each_record() -> None:
            for row in range(n_peer):
                window = sosfiltfilt(band, dataset.read([row])[0], axis=0, padlen=pad)
                spectrum = np.abs(np.fft.rfft(window - window.mean(axis=0), axis=0)) ** 2
                10 * np.log10(spectrum + 1e-6)
                for lead in window.T:
                    compute_scipy_spectrogram(lead)

        sides = {
            "three representations fed": Side(
                _make_feed(dataset, THREE_REPRESENTATIONS, BAND_HZ), n
            ),
            "time series alone fed": Side(_make_feed(dataset, ["time"], n_passes=4), 4 * n),
            "with SciPy": Side(transform_each_record, n_peer),
        }
        speeds = alternate(sides, ROUNDS, "feed.representations")
    detail = compute_medians(speeds, SPEED)
    slower = compute_ratios(speeds["three representations fed"], speeds["time series alone fed"])
    detail["fraction of the feed's time spent on filter and representations"] = round(
        1 - float(np.median(slower)), 3
    )
    return Figure(
        name="feed.representations",
        what="band-pass, time, frequency and spectrogram in the feed",
        against="the usual way: SciPy, sosfiltfilt and rfft per record, spectrogram per lead",
        floor=3.0,
        ratios=compute_ratios(speeds["three representations fed"], speeds["with SciPy"]),
        detail=detail,
    )


def measure_waiting() -> Figure:
    """Fraction of the training time not spent waiting for data, with the worst encoder."""
    from ecglib.experiment.registry import REPRESENTATIONS, TABULAR

    branches = [
        (name, encoder)
        for name, representation in REPRESENTATIONS.items()
        if name != TABULAR
        for encoder in representation.encoders
    ]
    not_waiting: dict[str, list[float]] = {}
    detail = {}
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_store(NoiseSource(N_RECORDS), folder, progress=False)
        for representation, encoder in tqdm(
            branches, desc="feed.waiting", unit="encoder", leave=False
        ):
            name = f"{representation} by {encoder}"
            waits, slowdowns = _measure_training(dataset, representation, encoder)
            not_waiting[name] = [1 - fraction for fraction in waits]
            detail[f"{name}: waiting, % of the training time"] = _compute_percent(waits)
            detail[f"{name}: step longer than on always the same batch, %"] = _compute_percent(
                slowdowns
            )
    worst = min(not_waiting, key=lambda name: np.median(not_waiting[name]))
    return Figure(
        name="feed.waiting",
        what=f"training time not spent waiting for the next batch, the worst encoder ({worst})",
        against=(
            "the limit: the same steps on one batch in memory; the representations are in the "
            "model, and the work of the feed on the same cores, which makes a step longer, is not "
            "waiting"
        ),
        floor=0.98,
        ratios=not_waiting[worst],
        detail=detail,
    )


def _measure_training(
    dataset: Dataset, representation: str, encoder: str
) -> tuple[list[float], list[float]]:
    """Measure the fraction of waiting in each round, and by how much the feed slows a step."""
    import tensorflow as tf

    from ecglib.training.epoch_order import BatchOptions
    from ecglib.training.input_pipeline import make_batches

    selection = dataset.select("noise")
    model = _compile_branch(dataset, selection, representation, encoder)
    options = BatchOptions(shuffle_seed=0)
    batches = iter(make_batches(dataset, selection, None, BATCH, options).repeat())
    for _ in range(N_WARM_UP_STEPS):
        model.train_on_batch(*next(batches))
    same_batch = iter(tf.data.Dataset.from_tensors(next(batches)).repeat())
    waits, slowdowns = [], []
    for _ in range(N_STEP_ROUNDS):
        fed = _train(model, batches, n_steps=None)
        limit = _train(model, same_batch, n_steps=fed.n_steps)
        # The cost of taking a batch that is already in memory is not waiting.
        wait_s = max(0.0, fed.batches_s - limit.batches_s)
        waits.append(wait_s / (fed.batches_s + fed.steps_s))
        slowdowns.append(fed.steps_s / limit.steps_s - 1)
    return waits, slowdowns


class Times(NamedTuple):
    """How long some training steps took.

    Parameters
    ----------
    n_steps : int
        Number of the steps.
    batches_s : float
        Time to get their batches in s.
    steps_s : float
        Time of the steps themselves in s.
    """

    n_steps: int
    batches_s: float
    steps_s: float


def _train(model: keras.Model, batches: Iterator[Any], n_steps: int | None) -> Times:
    """Train for a number of steps; None for as many as fill a round."""
    batches_s = steps_s = 0.0
    for n_done in itertools.count(1):
        started = time.perf_counter()
        batch = next(batches)
        received = time.perf_counter()
        model.train_on_batch(*batch)
        batches_s += received - started
        steps_s += time.perf_counter() - received
        if n_done == n_steps or (n_steps is None and batches_s + steps_s >= ROUND_S):
            break
    return Times(n_done, batches_s, steps_s)


def _compile_branch(
    dataset: Dataset, selection: Selection, representation: str, encoder: str
) -> keras.Model:
    """Build and compile a model of one branch, from windows in mV."""
    import keras

    from ecglib import models
    from ecglib.models import end_to_end
    from ecglib.representations import build_representations

    representations = build_representations(dataset.signal, [representation], BAND_HZ)
    settings = models.ModelSpec(
        branches={representation: encoder},
        fusion="none",
        n_classes=len(selection.classes),
        kind=selection.task.kind,
    )
    shapes = {name: output.shape[1:] for name, output in representations.output.items()}
    branch = models.build_model(shapes, settings)
    model = end_to_end.build_crop_model(dataset.signal, representations, branch)
    model.compile(keras.optimizers.AdamW(1e-4), "binary_crossentropy", jit_compile=False)
    return model


def _compute_percent(fractions: list[float]) -> float:
    return round(100 * float(np.median(fractions)), 2)


FEW, MANY = 20_000, 200_000
N_WINDOWS_PER_RECORD = 1000
N_SAMPLES_OF_SHORT_WINDOW = 50


def measure_memory() -> Figure:
    """Memory that feeding adds, with 20,000 and with 200,000 windows."""
    with tempfile.TemporaryDirectory() as folder:
        for size in (FEW, MANY):
            n_records = size // N_WINDOWS_PER_RECORD
            source = NoiseSource(n_records, N_SAMPLES_OF_SHORT_WINDOW, N_WINDOWS_PER_RECORD)
            write_store(source, f"{folder}/{size}", progress=False)
        peaks, peaks_with_selection = (
            measure_peaks_mb(
                measure_memory_of_feeding, [FEW, MANY], 3, "feed.memory", folder, select
            )
            for select in (False, True)
        )
    extra = {f"extra at {size:,} windows": peaks_mb for size, peaks_mb in peaks.items()}
    extra |= {
        f"{size:,} windows, including the selection": peaks_mb
        for size, peaks_mb in peaks_with_selection.items()
    }
    return Figure(
        name="feed.memory",
        what=f"extra memory of feeding {FEW:,} windows",
        against=f"the same with {MANY:,} windows: 1 is flat, {FEW / MANY:g} grows with the data",
        floor=0.7,
        ratios=compute_ratios(peaks[FEW], peaks[MANY]),
        detail=compute_medians(extra, "MB"),
    )


def measure_memory_of_feeding(size: int, folder: str, select: bool) -> float:
    """Measure the MB that a shuffled pass over the store adds; run in a separate process.

    With `select` this includes the selection of the task's windows, which holds the label, split,
    patient and record of each window.
    """
    import ecglib.training.input_pipeline  # noqa: F401  the memory of TensorFlow is not counted
    from ecglib.datasets.store import find_stores

    dataset = Dataset(find_stores(f"{folder}/{size}", "noise")[0])
    selection = None if select else dataset.select("noise")
    return measure_extra_mb(lambda: _make_feed(dataset, ["time"], selection=selection)())


def _make_feed(
    dataset: Dataset,
    representations: Sequence[str],
    band_hz: tuple[float, float] = (0.0, 0.0),
    n_passes: int = 1,
    selection: Selection | None = None,
) -> Callable[[], None]:
    """Return a function that feeds all windows, shuffled, in consecutive passes as `fit` does."""
    from ecglib.representations import build_representations
    from ecglib.training.epoch_order import BatchOptions
    from ecglib.training.input_pipeline import make_batches

    model = build_representations(dataset.signal, representations, band_hz)
    selection = selection or dataset.select("noise")
    options = BatchOptions(shuffle_seed=0)
    batches = make_batches(dataset, selection, model, BATCH, options)
    return lambda: _consume(batches.repeat(n_passes))


def _consume(batches: Iterable[Any]) -> None:
    for _ in batches:
        pass


FIGURES = {
    "limit": measure_limit,
    "generator": measure_generator,
    "representations": measure_representations,
    "waiting": measure_waiting,
    "memory": measure_memory,
}
