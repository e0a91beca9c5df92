"""Feeding windows from a prepared store to a network."""

import tempfile

import numpy as np

from benchmarks.measure import Figure, Side, alternate, medians, ratios
from benchmarks.memory import extra_mb, peaks_mb
from benchmarks.noise import LEADS, RATE_HZ, NoiseSource
from benchmarks.views import passes, scipy_spectrogram
from ecglib.datasets.signals import STEP_MV
from ecglib.datasets.store import Dataset
from ecglib.datasets.writing import write_store

N_RECORDS = 2000
BATCH = 64
ROUNDS = 7
SPEED = "windows/s"
VIEWS_IN = ("pipeline", "model")
EVERY_VIEW = ["time", "frequency", "spectrogram"]
BAND_HZ = (0.5, 40.0)


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
            "fed": Side(_fed(dataset, ["time"], n_passes=4), 4 * N_RECORDS),
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
            "fed": Side(_fed(dataset, ["time"], n_passes=4), 4 * N_RECORDS),
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
    """Share of a training step spent waiting for data, views in the pipeline or in the model."""
    from ecglib.experiment import Experiment

    with tempfile.TemporaryDirectory() as folder:
        dataset = write_store(NoiseSource(N_RECORDS // 4), folder, progress=False)
        experiment = Experiment(
            **{"dataset": dataset.name, "fingerprint": dataset.fingerprint, "task": "noise"},
            **{"branches": {"time": "cnn", "frequency": "cnn", "spectrogram": "cnn2d"}},
            **{"fusion": "intermediate_concat", "batch_size": BATCH, "band_hz": BAND_HZ},
        )
        n = N_RECORDS // 4 // BATCH * BATCH
        sides = {
            f"views in the {where}, {what}": Side(_steps(experiment, dataset, where, fed), n)
            for where in VIEWS_IN
            for what, fed in (("fed", True), ("one batch, not fed", False))
        }
        speeds = alternate(sides, ROUNDS, "feed.waiting")
    detail = medians(speeds, SPEED)
    waits = {
        where: ratios(speeds[f"views in the {where}, fed"], free)
        for where in VIEWS_IN
        for free in [speeds[f"views in the {where}, one batch, not fed"]]
    }
    for where, own in waits.items():
        told = f"share of a step that is not the model's, views in the {where}"
        detail[told] = round(1 - float(np.median(own)), 3)
    return Figure(
        "feed.waiting",
        "training steps of a fusion of three branches, views in the model, fed",
        "the limit: the same steps on one batch that is there already",
        0.9,
        waits["model"],
        detail,
    )


def _steps(experiment, dataset: Dataset, views_in: str, fed: bool):
    """A function that trains for one pass, on what is fed or over and over on one batch."""
    import keras

    import ecglib.pipeline
    from ecglib import graph, models, training

    views = training.views_of(experiment, dataset.signal)
    selection = dataset.select(experiment.task)
    model = models.build_model(
        {name: view.shape[1:] for name, view in views.output.items()},
        **{"branches": experiment.branches, "fusion": experiment.fusion},
        **{"n_classes": len(selection.classes), "kind": selection.task.kind},
    )
    if views_in == "model":
        model, views = graph.window_graph(dataset.signal, views, model, {}), None
    model.compile(keras.optimizers.AdamW(1e-4), "binary_crossentropy", jit_compile=False)
    n_steps = len(selection.rows) // BATCH
    batches = ecglib.pipeline.feed(dataset, selection, views, BATCH, shuffle_seed=0)
    if not fed:
        batches = batches.take(1).cache()
    batches = batches.repeat()
    return lambda: model.fit(batches, steps_per_epoch=n_steps, shuffle=False, verbose=0)


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
    import ecglib.pipeline  # noqa: F401  TensorFlow's own memory does not count
    from ecglib.datasets.store import find_stores

    dataset = Dataset(find_stores(f"{folder}/{size}", "noise")[0])
    selection = None if select else dataset.select("noise")
    return extra_mb(lambda: _fed(dataset, ["time"], selection=selection)())


def _fed(dataset: Dataset, representations, band_hz=(0.0, 0.0), n_passes=1, selection=None):
    """A function that feeds all windows, shuffled, pass after pass without a stop as `fit` does."""
    import ecglib.pipeline
    from ecglib.representations import build_views

    model = build_views(dataset.signal, representations, band_hz)
    selection = selection or dataset.select("noise")
    batches = ecglib.pipeline.feed(dataset, selection, model, BATCH, shuffle_seed=0)
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
