"""Training and prediction on JAX: one compiled function over samples that lie on the device.

For models of this size the loop over the batches costs more than the arithmetic. On an accelerator
an epoch is one call: the places of its windows go to the device, where the windows are gathered
from the int16 samples, augmented and trained on in a `jax.lax.scan`. On a CPU each batch is a call
of the same function, since XLA computes convolutions within a loop many times slower there.
"""

import ecglib._keras  # noqa: F401
from ecglib._keras import Tensor

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras
import numpy as np

from ecglib.datasets.selection import Selection
from ecglib.datasets.store import Dataset
from ecglib.datasets.units import STEP_MV
from ecglib.errors import ExperimentError
from ecglib.training.adamw import AveragingAdamW
from ecglib.training.epoch_order import (
    BatchOptions,
    EpochOrder,
    choose_prediction_size,
    list_inputs,
    place_windows,
)
from ecglib.training.epochs import Epochs

MEMORY_FRACTION = 0.5  # of the device, that samples may take
MAX_DRAWS = 2**20  # of one layer in an epoch
State = Any  # of a model, as `keras.Model.train_step` takes it on JAX


class DeviceWindows:
    """Windows of a store on the device, from which batches are gathered.

    Parameters
    ----------
    dataset : Dataset
        The prepared store. All its samples are copied, once (`copy_samples`).
    selection : Selection
        The windows.
    options : BatchOptions
        Their weights, and the length of crops.

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     selection = dataset.select("superdiagnostic")
    ...     windows = DeviceWindows(dataset, selection, BatchOptions())
    >>> x, y = windows.gather(windows.arrays, np.array([3, 8]), np.zeros(2, int))
    >>> tuple(x.shape), tuple(y.shape)
    ((2, 1000, 12), (2, 5))
    """

    def __init__(self, dataset: Dataset, selection: Selection, options: BatchOptions):
        self.n_samples = options.crop or dataset.signal.n_samples
        self.has_tabular = selection.tabular.shape[1] > 0
        values = {"tabular": selection.tabular} if self.has_tabular else {}
        values["y"] = selection.y
        if options.weights is not None:
            values["weights"] = options.weights
        self.arrays = {name: jax.numpy.asarray(x, "float32") for name, x in values.items()}
        self.arrays["samples"] = copy_samples(dataset)
        self.arrays["starts"] = jax.numpy.asarray(dataset.starts[selection.rows])

    def gather(self, arrays: dict[str, Tensor], which: Tensor, offsets: Tensor) -> tuple:
        """Return a batch in mV: ``(x, y)`` or ``(x, y, weight)``.

        Parameters
        ----------
        arrays : dict of str to array
            `arrays`, as an argument of the compiled function: it must not become a part of it.
        which, offsets : array of shape (n_windows,)
            See `ecglib.training.epoch_order.Places`.
        """
        cut = functools.partial(
            jax.lax.dynamic_slice_in_dim, arrays["samples"], slice_size=self.n_samples
        )
        x = jax.vmap(cut)(arrays["starts"][which] + offsets).astype("float32") * STEP_MV
        inputs = {"signal": x, "tabular": arrays["tabular"][which]} if self.has_tabular else x
        weight = [arrays["weights"][which]] if "weights" in arrays else []
        return inputs, arrays["y"][which], *weight


@functools.lru_cache(maxsize=1)
def copy_samples(dataset: Dataset) -> Tensor:
    """Copy the samples of a store to the device; those of the last store stay there.

    Parameters
    ----------
    dataset : Dataset
        The prepared store.

    Returns
    -------
    array of shape (n_samples, n_leads)
        int16 steps (`ecglib.datasets.units.STEP_MV`).

    Examples
    --------
    >>> import tempfile
    >>> from ecglib.datasets import prepare
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dataset = prepare("synthetic", data_dir=folder, options={"n_patients": 30})
    ...     samples = copy_samples(dataset)
    >>> samples.shape[1], str(samples.dtype)
    (12, 'int16')
    """
    return jax.numpy.asarray(dataset.steps)


class DeviceFeed:
    """Trains and predicts with windows that are gathered on the device, on JAX (a `Feed`).

    Parameters
    ----------
    dataset : Dataset
        The prepared store.
    selection : Selection
        The windows of all splits.
    batch_size : int
        Windows in a training batch.

    Raises
    ------
    ExperimentError
        If the samples take more than half of the memory of the device.

    Examples
    --------
    The backend of Keras must be JAX::

        feed = DeviceFeed(dataset, dataset.select("superdiagnostic"), batch_size=64)
        history = feed.fit(model, BatchOptions(shuffle_seed=0), epochs)
        p = feed.predict(model, "test")
    """

    def __init__(self, dataset: Dataset, selection: Selection, batch_size: int):
        _check_memory(dataset)
        self.dataset, self.selection, self.batch_size = dataset, selection, batch_size
        n_validation = int((selection.part == "validation").sum())
        self.prediction_size = choose_prediction_size(n_validation, batch_size)
        self._windows: dict[str, DeviceWindows] = {}
        self._predictors: dict[keras.Model, Any] = {}

    def fit(
        self, model: keras.Model, options: BatchOptions, epochs: Epochs
    ) -> keras.callbacks.History:
        """Train a compiled model on the training split; for callbacks an epoch is one step.

        Every batch is full: the last one of an epoch takes windows of the next.
        """
        train = self.selection.in_split("train")
        training = CompiledEpochs(model, DeviceWindows(self.dataset, train, options), options)
        n_windows = epochs.n_steps * self.batch_size
        order = EpochOrder(self.dataset, train.rows, options)
        groups = order.draw(n_windows, n_skipped=epochs.n_done * n_windows)
        callbacks = keras.callbacks.CallbackList(
            list(epochs.callbacks),
            add_history=True,
            add_progbar=epochs.verbose > 0,
            model=model,
            verbose=epochs.verbose,
            epochs=epochs.n_epochs,
            steps=1,
        )
        model.stop_training = False
        callbacks.on_train_begin()
        for epoch in range(epochs.n_done, epochs.n_epochs):
            model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            callbacks.on_train_batch_begin(0)
            places = [x.reshape(epochs.n_steps, self.batch_size) for x in next(groups)]
            logs = {"loss": training.run_epoch(epoch, places)}
            callbacks.on_train_batch_end(0, logs)
            callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        callbacks.on_train_end()
        return model.history

    def predict(self, model: keras.Model, split: str) -> np.ndarray:
        """Predict the windows of a split, in their order."""
        if split not in self._windows:
            selected = self.selection.in_split(split)
            self._windows[split] = DeviceWindows(self.dataset, selected, BatchOptions())
        windows, n_windows = self._windows[split], int((self.selection.part == split).sum())
        if model not in self._predictors:
            self._predictors[model] = _compile_prediction(model, windows)
        state = [
            [one.value for one in model.trainable_variables],
            [one.value for one in model.non_trainable_variables],
        ]
        batches = place_windows(n_windows, self.prediction_size)
        p = [self._predictors[model](state, windows.arrays, batch) for batch in batches]
        return np.concatenate([np.asarray(one) for one in p])[:n_windows]

    def compute_representations(
        self, representations: keras.Model, windows: Selection, options: BatchOptions
    ) -> Iterator[dict[str, np.ndarray]]:
        """Compute the representations of windows, batch by batch."""
        on_device = DeviceWindows(self.dataset, windows, options)

        @jax.jit
        def represent(arrays: dict[str, Tensor], which: Tensor, offsets: Tensor) -> Any:
            x, *_ = on_device.gather(arrays, which, offsets)
            return representations(list_inputs(x))

        which, offsets = EpochOrder(self.dataset, windows.rows, options).next()
        for start in range(0, len(which), self.batch_size):
            batch = slice(start, start + self.batch_size)
            found = represent(on_device.arrays, which[batch], offsets[batch])
            yield {name: np.asarray(values) for name, values in found.items()}


class CompiledEpochs:
    """Runs epochs of one training by one function that is compiled once.

    `in_one_call` tells whether a call is an epoch, as on an accelerator, or a batch.

    Parameters
    ----------
    model : keras.Model
        From windows or crops in mV to probabilities, compiled with loss and optimizer. It has the
        new weights after each epoch.
    windows : DeviceWindows
        The training windows.
    options : BatchOptions
        What is changed in the batches.

    Examples
    --------
    The backend of Keras must be JAX::

        epochs = CompiledEpochs(model, DeviceWindows(dataset, train, options), options)
        loss = epochs.run_epoch(0, [which, offsets])
    """

    def __init__(self, model: keras.Model, windows: DeviceWindows, options: BatchOptions):
        self.model, self.windows, self.augment = model, windows, options.augment
        self.in_one_call = jax.default_backend() != "cpu"
        self._step, self._epoch = jax.jit(self._train_batch), jax.jit(self._train_batches)

    def run_epoch(self, epoch: int, places: list[np.ndarray]) -> float:
        """Do an epoch and return its mean loss.

        Parameters
        ----------
        epoch : int
            Its number, on which random draws depend.
        places : list of two arrays of shape (n_steps, batch_size)
            See `ecglib.training.epoch_order.Places`.
        """
        state = (*self._read_state(), self._make_draws(epoch))
        if self.in_one_call:
            state, losses = self._epoch(state, self.windows.arrays, places)
            loss = losses[-1]
        else:
            for batch in zip(*places, strict=True):
                state, loss = self._step(state, self.windows.arrays, batch)
        self._write_state(state)
        return float(loss)  # Keras averages from the beginning of the epoch

    def _train_batches(self, state: State, arrays: dict[str, Tensor], places: Any) -> tuple:
        def step(state: State, batch: Any) -> tuple[State, Tensor]:
            return self._train_batch(state, arrays, batch)

        return jax.lax.scan(step, state, places)

    def _train_batch(self, state: State, arrays: dict[str, Tensor], places: Any) -> tuple:
        *of_model, draws = state
        batch = self.windows.gather(arrays, *places)
        if self.augment is not None:
            variables = self.augment.variables
            with keras.StatelessScope(list(zip(variables, draws, strict=True))) as scope:
                batch = self.augment(*batch)
            draws = [scope.get_current_value(variable) for variable in variables]
        logs, of_model = self.model.train_step(tuple(of_model), batch)
        return (*self._update_averages(of_model), draws), logs["loss"]

    def _update_averages(self, state: State) -> State:
        outer = self.model.optimizer
        optimizer = getattr(outer, "inner_optimizer", outer)
        if not isinstance(optimizer, AveragingAdamW):
            return state
        variables = [one for group in self._list_variables() for one in group]
        values = [one for group in state for one in group]
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            optimizer.update_averages()
        weights, fixed, _, metrics = state
        return weights, fixed, [scope.get_current_value(one) for one in outer.variables], metrics

    def _list_variables(self) -> list[list[keras.Variable]]:
        model = self.model
        return [
            list(model.trainable_variables),
            list(model.non_trainable_variables),
            list(model.optimizer.variables),
            list(model.metrics_variables),
        ]

    def _read_state(self) -> State:
        return tuple([one.value for one in group] for group in self._list_variables())

    def _write_state(self, state: State) -> None:
        for group, values in zip(self._list_variables(), state[:-1], strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    def _make_draws(self, epoch: int) -> list[Tensor]:
        """The states of random draws that an epoch begins with, also one that is resumed.

        A state is the seed, and the number of draws so far.
        """
        if self.augment is None:
            return []
        n_before = jax.numpy.asarray([0, epoch * MAX_DRAWS], "uint32")
        return [variable.value + n_before for variable in self.augment.variables]


def _check_memory(dataset: Dataset) -> None:
    device = jax.local_devices()[0]
    memory = (device.memory_stats() or {}).get("bytes_limit")  # not known of a CPU
    if memory and dataset.steps.nbytes > MEMORY_FRACTION * memory:
        raise ExperimentError(
            f"The samples of {dataset.name} take {dataset.steps.nbytes / 1e9:.1f} GB, more than "
            f"half of the {memory / 1e9:.1f} GB of {device}. Set KERAS_BACKEND=tensorflow: it "
            f"reads them batch by batch."
        )


def _compile_prediction(model: keras.Model, windows: DeviceWindows) -> Callable[..., Tensor]:
    @jax.jit
    def predict(state: State, arrays: dict[str, Tensor], which: Tensor) -> Tensor:
        x, *_ = windows.gather(arrays, which, jax.numpy.zeros_like(which))
        p, _ = model.stateless_call(*state, x, training=False)
        return p

    return predict
