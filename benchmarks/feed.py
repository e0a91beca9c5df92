"""Feeding windows from a prepared store to a network."""

import tempfile
import time

import numpy as np
from tqdm import tqdm

from benchmarks.measure import Figure, Side, alternate, medians, ratios
from benchmarks.memory import extra_mb, peaks_mb
from benchmarks.noise import LEADS, RATE_HZ, NoiseSource
from benchmarks.views import passes, scipy_spectrogram
from ecglib.datasets.store import Dataset
from ecglib.datasets.units import STEP_MV
from ecglib.datasets.writer import write_store

N_RECORDS = 2000
BATCH = 64
ROUNDS = 7
SPEED = "windows/s"
EVERY_VIEW = ["time", "frequency", "spectrogram"]
BAND_HZ = (0.5, 40.0)
STEPS_BEFORE = 5  # more than are ready when the first one ends
STEP_ROUNDS, ROUND_S = 3, 0.3


def limit() -> Figure:
    """Shuffled windows, time view, against converting the same file in order."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_store(NoiseSource(N_RECORDS), folder, progress=False)
        steps = np.load(dataset.path / "signals.npy", mmap_mode="r")
        rows_at_once = BATCH * dataset.signal.n_samples
        # Into one buffer over and over: fresh memory would make the limit ten times slower.
        buffer = np.empty((rows_at_once, steps.shape[1]), np.float32)

        def convert():
            for start in range(0, len(steps), rows_at_once):
                piece = steps[start : start + rows_at_once]
                np.multiply(piece, np.float32(STEP_MV), out=buffer[: len(piece)])

        sides = {
            "fed": Side(_fed(dataset, ["time"], n_passes=16), 16 * N_RECORDS),
            "converted in order": Side(passes(convert, 16), 16 * N_RECORDS),
        }
        speeds = alternate(sides, ROUNDS, "feed.limit")
    return Figure(
        "feed.limit",
        "shuffled windows fed, time view, no filter",
        "the limit: int16 to float32 of the same file in order, into one buffer",
        0.5,
        ratios(speeds["fed"], speeds["converted in order"]),
        medians(speeds, SPEED),
    )


def generator() -> Figure:
    """Shuffled windows, time view, against a generator of one record at a time."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        dataset = write_store(NoiseSource(N_RECORDS), folder, progress=False)
        steps = np.load(dataset.path / "signals.npy", mmap_mode="r")
        y = dataset.select("noise").y
        n, n_samples = N_RECORDS // 2, dataset.signal.n_samples

        def one_by_one():
            for i in np.random.default_rng(0).permutation(N_RECORDS)[:n]:
                window = steps[i * n_samples : (i + 1) * n_samples]
                yield window.astype(np.float32) * np.float32(STEP_MV), y[i]

        shapes = (tf.TensorSpec((n_samples, len(LEADS))), tf.TensorSpec((y.shape[1],)))
        usual = tf.data.Dataset.from_generator(one_by_one, output_signature=shapes)
        usual = usual.batch(BATCH).prefetch(tf.data.AUTOTUNE)
        sides = {
            "fed": Side(_fed(dataset, ["time"], n_passes=16), 16 * N_RECORDS),
            "from a generator": Side(lambda: _consume(usual), n),
        }
        speeds = alternate(sides, ROUNDS, "feed.generator")
    return Figure(
        "feed.generator",
        "shuffled windows fed, time view, no filter",
        "the usual way: tf.data from_generator, one record at a time from a memory map",
        20.0,
        ratios(speeds["fed"], speeds["from a generator"]),
        medians(speeds, SPEED),
    )


def views() -> Figure:
    """Band-pass and all views in the feed, against SciPy record by record."""
    from scipy.signal import butter, sosfiltfilt

    with tempfile.TemporaryDirectory() as folder:
        dataset = write_store(NoiseSource(N_RECORDS // 2), folder, progress=False)
        n, n_peer = N_RECORDS // 2, BATCH
        band = butter(3, BAND_HZ, "band", fs=RATE_HZ, output="sos")
        pad = round(3 * RATE_HZ)

        def record_by_record():
            for row in range(n_peer):
                window = sosfiltfilt(band, dataset.read([row])[0], axis=0, padlen=pad)
                spectrum = np.abs(np.fft.rfft(window - window.mean(axis=0), axis=0)) ** 2
                10 * np.log10(spectrum + 1e-6)
                for lead in window.T:
                    scipy_spectrogram(lead)

        sides = {
            "all views fed": Side(_fed(dataset, EVERY_VIEW, BAND_HZ), n),
            "time view alone fed": Side(_fed(dataset, ["time"], n_passes=4), 4 * n),
            "with SciPy": Side(record_by_record, n_peer),
        }
        speeds = alternate(sides, ROUNDS, "feed.views")
    detail = medians(speeds, SPEED)
    slower = ratios(speeds["all views fed"], speeds["time view alone fed"])
    detail["share of the feed's time spent on filter and views"] = round(
        1 - float(np.median(slower)), 3
    )
    return Figure(
        "feed.views",
        "band-pass, time, frequency and spectrogram in the feed",
        "the usual way: SciPy, sosfiltfilt and rfft a record, spectrogram a lead",
        3.0,
        ratios(speeds["all views fed"], speeds["with SciPy"]),
        detail,
    )


def waiting() -> Figure:
    """Share of the training time not spent waiting for data, the worst encoder of a signal view."""
    from ecglib.experiment.registry import REPRESENTATIONS, TABULAR

    branches = [
        (name, encoder)
        for name, representation in REPRESENTATIONS.items()
        if name != TABULAR
        for encoder in representation.encoders
    ]
    shares, detail = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_store(NoiseSource(N_RECORDS), folder, progress=False)
        for branch in tqdm(branches, desc="feed.waiting", unit="encoder", leave=False):
            name = " by ".join(branch)
            waits, slower = _training_times(dataset, *branch)
            shares[name] = [1 - share for share in waits]
            detail[f"{name}: waiting, % of the training time"] = _percent(waits)
            detail[f"{name}: a step longer than on one batch over and over, %"] = _percent(slower)
    worst = min(shares, key=lambda name: np.median(shares[name]))
    return Figure(
        "feed.waiting",
        f"training time not spent waiting for the next batch, the worst encoder ({worst})",
        "the limit: the same steps on one batch that is there already; views in the model, and the "
        "work of the feed on the same cores, which makes a step longer, is no waiting",
        0.98,
        shares[worst],
        detail,
    )


def _training_times(dataset: Dataset, representation: str, encoder: str):
    """Of training one branch: shares of waiting, and of what the feed makes a step longer."""
    import tensorflow as tf

    from ecglib.training.input_pipeline import BatchOptions, make_batches

    selection = dataset.select("noise")
    model = _branch(dataset, selection, representation, encoder)
    options = BatchOptions(shuffle_seed=0)
    batches = iter(make_batches(dataset, selection, None, BATCH, options).repeat())
    for _ in range(STEPS_BEFORE):
        model.train_on_batch(*next(batches))
    one = iter(tf.data.Dataset.from_tensors(next(batches)).repeat())
    waits, slower = [], []
    for _ in range(STEP_ROUNDS):
        asked, trained = _train(model, batches, n_steps=0)
        n_steps = len(asked)
        asked_one, trained_one = _train(model, one, n_steps)
        # What asking for a batch costs that is there already is no waiting.
        waits.append(max(0.0, sum(asked) - sum(asked_one)) / (sum(asked) + sum(trained)))
        slower.append(sum(trained) / sum(trained_one) - 1)
    return waits, slower


def _train(model, batches, n_steps: int) -> tuple[list[float], list[float]]:
    """Seconds until each batch was there, and of the step; of 0 steps as many as a round takes."""
    asked, trained = [], []
    while len(asked) < n_steps or (not n_steps and sum(asked) + sum(trained) < ROUND_S):
        before = time.perf_counter()
        batch = next(batches)
        there = time.perf_counter()
        model.train_on_batch(*batch)
        asked.append(there - before)
        trained.append(time.perf_counter() - there)
    return asked, trained


def _branch(dataset: Dataset, selection, representation: str, encoder: str):
    """A compiled model of one branch, from windows in mV."""
    import keras

    from ecglib import models
    from ecglib.models import end_to_end
    from ecglib.representations import build_representations

    views = build_representations(dataset.signal, [representation], BAND_HZ)
    settings = models.ModelSettings(
        branches={representation: encoder},
        fusion="none",
        n_classes=len(selection.classes),
        kind=selection.task.kind,
    )
    shapes = {name: view.shape[1:] for name, view in views.output.items()}
    branch = models.build_model(shapes, settings)
    model = end_to_end.window_graph(dataset.signal, views, branch, {})
    model.compile(keras.optimizers.AdamW(1e-4), "binary_crossentropy", jit_compile=False)
    return model


def _percent(shares: list[float]) -> float:
    return round(100 * float(np.median(shares)), 2)


SHORT, LONG = 20_000, 200_000
WINDOWS_A_RECORD = 1000
SHORT_WINDOW = 50


def memory() -> Figure:
    """Memory that feeding adds, with 20,000 and with 200,000 windows."""
    with tempfile.TemporaryDirectory() as folder:
        for size in (SHORT, LONG):
            n_records = size // WINDOWS_A_RECORD
            source = NoiseSource(n_records, SHORT_WINDOW, WINDOWS_A_RECORD)
            write_store(source, f"{folder}/{size}", progress=False)
        peaks, selected = (
            peaks_mb(memory_of_feeding, [SHORT, LONG], 3, "feed.memory", folder, select)
            for select in (False, True)
        )
    sizes = {f"extra at {size:,} windows": own for size, own in peaks.items()}
    sizes |= {f"{size:,} windows, selecting included": own for size, own in selected.items()}
    return Figure(
        "feed.memory",
        f"extra memory of feeding {SHORT:,} windows",
        f"the same with {LONG:,} windows: 1 is flat, {SHORT / LONG:g} grows with the data",
        0.7,
        ratios(peaks[SHORT], peaks[LONG]),
        medians(sizes, "MB"),
    )


def memory_of_feeding(size: int, folder: str, select: bool) -> float:
    """Run in a process of its own: MB that a shuffled pass over the store adds.

    With `select` the work begins with the selection of the task's windows, whose labels, parts,
    patients and records are held for each window.
    """
    import ecglib.training.input_pipeline  # noqa: F401  TensorFlow's own memory does not count

    from ecglib.datasets.store import find_stores

    dataset = Dataset(find_stores(f"{folder}/{size}", "noise")[0])
    selection = None if select else dataset.select("noise")
    return extra_mb(lambda: _fed(dataset, ["time"], selection=selection)())


def _fed(dataset: Dataset, representations, band_hz=(0.0, 0.0), n_passes=1, selection=None):
    """A function that feeds all windows, shuffled, pass after pass without a stop as `fit` does."""
    from ecglib.representations import build_representations
    from ecglib.training.input_pipeline import BatchOptions, make_batches

    model = build_representations(dataset.signal, representations, band_hz)
    selection = selection or dataset.select("noise")
    options = BatchOptions(shuffle_seed=0)
    batches = make_batches(dataset, selection, model, BATCH, options)
    return lambda: _consume(batches.repeat(n_passes))


def _consume(batches) -> None:
    for _ in batches:
        pass


FIGURES = {
    "limit": limit,
    "generator": generator,
    "views": views,
    "waiting": waiting,
    "memory": memory,
}
