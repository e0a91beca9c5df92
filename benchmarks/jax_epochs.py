"""Epochs on JAX: ``python -m benchmarks.jax_epochs time:cnn``, branches separated by commas.

This is a worker (`benchmarks.worker`). ``epoch`` is what a training does: one compiled function
over samples on the device. ``steps`` is Keras' own loop over the same model, with each batch given
from memory. It runs on an accelerator, if JAX sees one; ``ECG_BENCHMARK_WINDOWS=16384`` then makes
an epoch long enough.
"""

import os
import sys
import tempfile

import numpy as np

BATCH = 64
N_WINDOWS = int(os.environ.get("ECG_BENCHMARK_WINDOWS", "256"))
N_CLASSES = 2  # of noise


def main(branches: str) -> None:
    """Build the model and wait for work."""
    os.environ["KERAS_BACKEND"] = "jax"
    from benchmarks.noise import NoiseSource
    from benchmarks.worker import serve
    from ecglib.datasets.writer import write_store
    from ecglib.experiment.settings import TrainingSettings
    from ecglib.models import ModelSpec, build_model
    from ecglib.models.end_to_end import build_crop_model
    from ecglib.representations import build_representations
    from ecglib.training.device_feed import CompiledEpochs, DeviceWindows
    from ecglib.training.epoch_order import BatchOptions
    from ecglib.training.losses import build_loss
    from ecglib.training.optimizers import compile_model

    chosen = dict(branch.split(":") for branch in branches.split(","))
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(NoiseSource(N_WINDOWS), folder, progress=False)
        selection = store.select("noise")
        representations = build_representations(store.signal, list(chosen))
        shapes = {name: x.shape[1:] for name, x in representations.output.items()}
        fusion = "none" if len(chosen) == 1 else "intermediate_gated"
        spec = ModelSpec(
            branches=chosen, fusion=fusion, n_classes=N_CLASSES, kind=selection.task.kind
        )
        model = build_crop_model(store.signal, representations, build_model(shapes, spec))
        settings = TrainingSettings()
        compile_model(model, build_loss(settings, selection.task.kind), settings, n_steps=10**6)
        options = BatchOptions()
        epochs = CompiledEpochs(model, DeviceWindows(store, selection, options), options)
        which = np.arange(N_WINDOWS, dtype=np.int32).reshape(-1, BATCH)
        places = [which, np.zeros_like(which)]
        x, y = store.read(selection.rows), selection.y.astype("float32")
        serve(
            {
                "epoch": lambda: epochs.run_epoch(0, places),
                "steps": lambda: model.fit(x, y, batch_size=BATCH, verbose=0),
            },
            windows=N_WINDOWS,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
