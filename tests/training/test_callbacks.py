import dataclasses

import keras
import numpy as np
import pytest

from ecglib.errors import RunError
from ecglib.experiment import describe_environment
from ecglib.experiment.settings import TrainingSettings
from ecglib.training.callbacks import (
    Checkpoint,
    CheckpointPlace,
    UseAverages,
    build_early_stopping,
)


class RecordWeights(keras.callbacks.Callback):
    """All weights after each step, and at each end of an epoch."""

    def __init__(self):
        super().__init__()
        self.steps, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.model.get_weights())


def fit_small_model(compile_small_model, ema_decay):
    x = np.random.default_rng(0).standard_normal((24, 4)).astype("float32")
    y = (x[:, :1] > 0).astype("float32")
    model, optimizer = compile_small_model(ema_decay=ema_decay, learning_rate=0.05)
    start, recorded = model.get_weights(), RecordWeights()
    averages = [UseAverages(optimizer)] if ema_decay else []
    model.fit(x, y, 8, 3, callbacks=[*averages, recorded], shuffle=False, verbose=0)
    return model, start, recorded


def test_the_weights_and_statistics_between_epochs_are_the_moving_average(compile_small_model):
    model, start, recorded = fit_small_model(compile_small_model, 0.6)
    average, expected = [np.float64(w) for w in start], []
    for step, weights in enumerate(recorded.steps, start=1):
        decay = min(0.6, (1 + step) / (10 + step))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, weights, strict=True)]
        if step % 3 == 0:
            expected.append(average)
    assert len(expected) == len(recorded.epochs) == 3
    for averages, seen in zip(expected, recorded.epochs, strict=True):
        assert all(np.allclose(a, w, atol=1e-5) for a, w in zip(averages, seen, strict=True))
    moved = np.abs(recorded.steps[-1][4] - recorded.epochs[-1][4]).max()  # the mean of the batches
    assert moved > 1e-3
    final = zip(model.get_weights(), recorded.epochs[-1], strict=True)
    assert all(np.array_equal(a, b) for a, b in final)


def test_averaging_does_not_change_a_bit_of_the_training(compile_small_model):
    _, _, averaged = fit_small_model(compile_small_model, 0.6)
    _, _, plain = fit_small_model(compile_small_model, 0.0)
    for one, two in zip(averaged.steps, plain.steps, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.fixture
def place(tmp_path):
    """Where one checkpoint is."""
    environment = describe_environment(threads=1)
    return CheckpointPlace(folder=tmp_path / "seed0", environment=environment)


@pytest.fixture
def write_checkpoint(compile_small_model, place):
    """Train two epochs and leave their checkpoint."""

    def write(**settings):
        model, optimizer = compile_small_model(**settings)
        averages = UseAverages(optimizer) if settings.get("ema_decay") else None
        stopping = build_early_stopping(TrainingSettings())
        stopping.monitor = "loss"
        checkpoint = Checkpoint(place, model, 5, stopping, averages)
        x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
        callbacks = [one for one in (averages, stopping, checkpoint) if one]
        model.fit(x, y, epochs=2, callbacks=callbacks, verbose=0)

    return write


def open_checkpoint(compile_small_model, place, **settings):
    model, optimizer = compile_small_model(**settings)
    averages = UseAverages(optimizer) if settings.get("ema_decay") else None
    return Checkpoint(place, model, 5, build_early_stopping(TrainingSettings()), averages)


def test_a_file_that_does_not_fit_is_no_checkpoint(compile_small_model, write_checkpoint, place):
    write_checkpoint()
    assert [path.name for path in place.folder.iterdir()] == ["checkpoint.npz"]
    assert open_checkpoint(compile_small_model, place).n_done == 2
    with pytest.warns(UserWarning, match="does not fit the model. Training starts from the begin"):
        assert open_checkpoint(compile_small_model, place, ema_decay=0.9).n_done == 0
    place.file.write_bytes(place.file.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="is damaged"):
        assert open_checkpoint(compile_small_model, place).n_done == 0
    assert open_checkpoint(compile_small_model, None).n_done == 0


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"code": "0123"}, "code .* against 0123"),
        ({"threads": 2}, "threads 1 against 2"),
        ({"versions": {"keras": "9.0"}}, "keras .* against 9.0"),
    ],
)
def test_training_starts_anew_in_another_environment(
    change, difference, compile_small_model, write_checkpoint, place
):
    write_checkpoint()
    environment = dataclasses.replace(place.environment, **change)
    other = dataclasses.replace(place, environment=environment)
    with pytest.warns(UserWarning, match=difference):
        assert open_checkpoint(compile_small_model, other).n_done == 0
    commit = dataclasses.replace(place.environment, commit="another one, with the same code")
    same = dataclasses.replace(place, environment=commit)
    assert open_checkpoint(compile_small_model, same).n_done == 2


def test_a_full_disk_is_reported_and_the_last_checkpoint_stays(
    compile_small_model, place, monkeypatch
):
    model, _ = compile_small_model()
    checkpoint = Checkpoint(place, model, 5)
    place.folder.mkdir()
    place.file.write_bytes(b"the last one")
    checkpoint.set_model(model)
    model.stop_training = False

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunError, match=r"No space left.*resumes from the last checkpoint"):
        checkpoint.on_epoch_end(0, {"loss": 1.0})
    assert place.file.read_bytes() == b"the last one"
    assert list(place.folder.iterdir()) == [place.file]
