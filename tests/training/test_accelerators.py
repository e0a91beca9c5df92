"""Training on several devices: two of the processor's stand for two accelerators."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import ecglib._keras
import keras, numpy as np, tensorflow as tf
from ecglib.training.devices import use_all_devices

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 5)), rng.normal(size=(64, 1))
with use_all_devices("CPU"):
    assert tf.distribute.get_strategy().num_replicas_in_sync == 2
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
model.fit(tf.data.Dataset.from_tensors((x, y)), epochs=2, verbose=0)
kernel, bias = np.zeros((5, 1)), 0.0
for _ in range(2):  # gradient descent on the whole batch, by hand
    error = x @ kernel + bias - y
    kernel, bias = kernel - 0.2 * x.T @ error / 64, bias - 0.2 * error.mean()
assert np.allclose(model.get_weights()[0], kernel, atol=1e-6), (model.get_weights()[0], kernel)
"""

RUN = """
import sys, ecglib._keras
import numpy as np, tensorflow as tf
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
from ecglib.training import train, trainer
from ecglib.training.devices import use_all_devices
from ecglib.datasets.store import Dataset
from ecglib.evaluation.calibration import Calibration
from ecglib.experiment import Experiment
trainer.use_all_devices = lambda: use_all_devices("CPU")
store = Dataset(sys.argv[1])
experiment = Experiment.from_flat(
    {
        "task": "letters",
        "branches": {"time": "cnn", "frequency": "cnn"},
        "fusion": "late_weighted",
        "ema_decay": 0.9,
        "width": 4,
        "feature_dim": 8,
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.01,
    },
    store,
)
run = train(store, experiment, batch=sys.argv[2])
assert run.history["loss"].iloc[-1] < run.history["loss"].iloc[0]
test = run.predictions("test")
inputs = dict(trainer.Trainer(experiment, store).representations(store.read(test.rows)))
p = run.load_network().predict(inputs, verbose=0)
contract = run.contract
calibrate = Calibration(contract.kind, contract.calibration_scale, contract.calibration_bias)
assert np.allclose(calibrate(p), test.p, atol=1e-5)
"""


def run_script(script, *arguments):
    """Run in a new process: devices must be divided before TensorFlow's first operation."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_step_on_two_devices_is_the_step_of_the_whole_batch():
    run_script(SCRIPT)


def test_a_run_on_two_devices_is_a_run(small_store, tmp_path):
    run_script(RUN, small_store.path, tmp_path)
