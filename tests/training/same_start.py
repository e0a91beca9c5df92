"""Train models from weights that NumPy draws: ``python same_start.py STORE FILE [one_call]``.

The file gets the losses and the predictions of each experiment. Neither depends on how the backend
of Keras draws numbers, as nothing else is drawn: no dropout, no augmentation. With ``one_call``
they are trained a second time, with each epoch as one call, as JAX does on an accelerator.
"""

import ecglib._keras  # noqa: F401

import sys

import numpy as np

from ecglib.datasets.store import Dataset
from ecglib.experiment import Experiment
from ecglib.training import Trainer
from ecglib.training.devices import make_deterministic

COMMON = {
    "task": "letters",
    "width": 4,
    "feature_dim": 8,
    "epochs": 2,
    "dropout": 0.0,
    "learning_rate": 0.01,
    "monitor": "none",
}
EXPERIMENTS = {
    "weights, averages": {
        "branches": {"time": "cnn", "frequency": "mlp"},
        "fusion": "intermediate_gated",
        "class_weights": "sqrt",
        "ema_decay": 0.9,
    },
    "crops, balanced sampling, late fusion": {
        "branches": {"spectrogram": "cnn2d", "frequency": "mlp"},
        "fusion": "late_weighted",
        "crop_s": 1.5,
        "sampling": "balanced",
    },
}


class SameStart(Trainer):
    """A trainer whose models start from weights that NumPy draws."""

    def build_model(self, seed, width=0):
        model = super().build_model(seed, width)
        rng = np.random.default_rng(seed)
        for weight in model.trainable_weights:
            if len(weight.shape) > 1:  # biases and scales start as they are
                fan_in = np.prod(weight.shape[:-1])
                weight.assign(rng.normal(0, fan_in**-0.5, weight.shape).astype("float32"))
        return model


def train_all(store):
    arrays = {}
    for name, settings in EXPERIMENTS.items():
        experiment = Experiment.from_flat(COMMON | settings, store)
        n_train = int((SameStart(experiment, store).selection.part == "train").sum())
        # Batches of one size: JAX fills up the last one of an epoch, TensorFlow does not.
        batch_size = max(n for n in range(4, 17) if n_train % n == 0)
        make_deterministic(0)
        fitted = SameStart(experiment.replace(batch_size=batch_size), store).fit()
        arrays[f"{name}: loss"] = fitted.history["loss"].to_numpy()
        arrays[f"{name}: p"] = fitted.predictions["test"].p
    return arrays


def use_one_call():
    from ecglib.training.device_feed import CompiledEpochs

    run_epoch = CompiledEpochs.run_epoch

    def run_in_one_call(self, epoch, places):
        self.in_one_call = True
        return run_epoch(self, epoch, places)

    CompiledEpochs.run_epoch = run_in_one_call


def main(store_path, file, *one_call):
    store = Dataset(store_path)
    arrays = train_all(store)
    if one_call:
        use_one_call()
        arrays |= {f"one call, {name}": values for name, values in train_all(store).items()}
    np.savez(file, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
