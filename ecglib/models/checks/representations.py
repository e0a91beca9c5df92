"""Check the layer of another package that computes a representation."""

import inspect
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import require_one_of
from ecglib.experiment.branches import check_layer_name
from ecglib.experiment.import_paths import pin_import_path
from ecglib.experiment.importing import import_attribute
from ecglib.experiment.registry import LAYER, REPRESENTATIONS, TABULAR
from ecglib.models.builder import check_shape
from ecglib.models.checks.properties import GradientRecorder
from ecglib.models.checks.results import CheckResult, run_check
from ecglib.models.compilation import COMPILES
from ecglib.representations import build_representations

# Windows of PTB-XL, beats of MIT-BIH and windows of CinC 2017.
SIGNALS = (
    SignalSpec(
        sampling_rate_hz=100.0,
        n_samples=1000,
        leads=("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"),
    ),
    SignalSpec(sampling_rate_hz=120.0, n_samples=480, leads=("MLII", "V")),
    SignalSpec(sampling_rate_hz=300.0, n_samples=3000, leads=("I",)),
)
N_WINDOWS = 4
TOLERANCE = 1e-4  # of the largest value: rounding of float32 in sums over a window


def check_representation(layer: str, kind: str = "time") -> Iterator[CheckResult]:
    """Check the layer of a representation, one property after the other.

    Parameters
    ----------
    layer : str
        Import path of the layer's class; its options have their defaults.
    kind : str, default "time"
        The representation of ecglib that has the same axes.

    Yields
    ------
    CheckResult
        One for each check; the last one if the layer cannot be built.

    Raises
    ------
    ExperimentError
        If there is no such class or kind.

    Examples
    --------
    >>> next(check_representation("ecglib.representations.time:TimeSeries"))
    CheckResult(name='axes', problem='')
    """
    require_one_of("kind", kind, [name for name in REPRESENTATIONS if name != TABULAR])
    representation = f"{kind}_checked"
    check_layer_name(representation, layer)
    pinned = pin_import_path(layer)
    import_attribute(pinned)  # also from the working directory

    def build(signal: SignalSpec) -> keras.Model:
        options = {representation: {LAYER: pinned}}
        return build_representations(signal, [representation], (0.0, 0.0), options)

    result = run_check("axes", lambda: _check_axes(build, representation))
    yield result
    if not result.passed:
        return
    model = build(SIGNALS[0])
    checks = {
        "values": _check_values,
        "each window for itself": _check_feeding,
        "registered class": _check_class,
        "saving and loading": _check_saving,
        "gradients": _check_gradients,
    }
    for name, check in checks.items():
        yield run_check(name, lambda check=check: check(model))  # type: ignore[misc]


def _check_axes(build: Callable[[SignalSpec], keras.Model], representation: str) -> str:
    """Check that windows of three datasets get shapes that the encoders can take."""
    for signal in SIGNALS:
        model = build(signal)  # refuses weights and other axes than those of the representation
        expected = model.output[representation].shape[1:]
        check_shape(representation, expected)
        found = _compute(model, _make_windows(signal)).shape[1:]
        if found != expected:
            return (
                f"compute_output_shape says {expected}, but the layer makes windows of shape "
                f"{found}. Correct or remove this method."
            )
    return ""


def _check_values(model: keras.Model) -> str:
    """Check that noise and silence give finite values, and different windows different ones."""
    noise = _make_windows(SIGNALS[0])
    for what, windows in {"noise": noise, "0 mV": 0 * noise, "1 mV": 0 * noise + 1}.items():
        if not np.isfinite(_compute(model, windows)).all():
            return (
                f"The values of windows of {what} are NaN or infinite. Add a small number before a "
                f"logarithm or a division: leads that were lost are 0 mV."
            )
    values = _compute(model, noise)
    if np.ptp(values, axis=0).max() == 0:
        return "Different windows get the same values: something discards the signal."
    return ""


def _check_feeding(model: keras.Model) -> str:
    """Check that a window alone gets the values that it gets in a batch, each time."""
    windows = _make_windows(SIGNALS[0])
    whole = _compute(model, windows)
    bound = TOLERANCE * np.abs(whole).max()
    alone = np.concatenate([_compute(model, windows[row : row + 1]) for row in range(len(windows))])
    if np.abs(alone - whole).max() > bound:
        return (
            "A window alone gets other values than in a batch: compute nothing over the windows, "
            "and draw no random numbers."
        )
    (predicted,) = model.predict(windows, verbose=0).values()
    if np.abs(predicted - whole).max() > bound:
        return "model.predict and a call differ: the layer computes otherwise in a graph."
    return ""


def _check_class(model: keras.Model) -> str:
    """Check that an exported model can be loaded."""
    kind = type(_find_layer(model))
    if keras.saving.get_registered_object(keras.saving.get_registered_name(kind)) is kind:
        return ""
    return (
        f"The class {kind.__name__} is not registered, so that an exported model cannot be loaded. "
        f'Put this line before it: @keras.saving.register_keras_serializable(package="'
        f'{kind.__module__}")'
    )


def _check_saving(model: keras.Model) -> str:
    """Check that a saved and loaded layer computes the same, also with other options."""
    layer = _find_layer(model)
    missing = [name for name in _list_options(type(layer)) if name not in layer.get_config()]
    if missing:
        return f"get_config does not return the options {missing}. Add them to its dictionary."
    windows = _make_windows(SIGNALS[0])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        model.save(file)
        loaded = keras.models.load_model(file, safe_mode=True)
    if not np.array_equal(_compute(loaded, windows), _compute(model, windows)):
        return "The saved layer computes something else once it is loaded."
    return ""


def _check_gradients(model: keras.Model) -> str:
    """Check that the gradient reaches the signal in mV, which explanations need."""
    layer, signal = _find_layer(model), SIGNALS[0]
    n_leads = len(signal.leads)
    window = keras.Input((signal.n_samples, n_leads))
    mixed = keras.layers.Dense(n_leads, use_bias=False)(window)
    output = keras.layers.Flatten()(layer(mixed))
    trained = keras.Model(window, output)
    trained.compile(GradientRecorder(1.0), loss="mean_squared_error", run_eagerly=not COMPILES)
    before = trained.get_weights()[0]
    windows = _make_windows(signal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of weights without gradients
        trained.train_on_batch(windows, np.zeros((len(windows), output.shape[1]), "float32"))
    gradient = trained.get_weights()[0]
    if np.array_equal(gradient, before) or not gradient.any():
        return (
            "The gradient does not reach the signal, so the branch cannot be explained in mV. "
            "Compute with keras.ops; rounding, comparisons and NumPy stop the gradient."
        )
    return "" if np.isfinite(gradient).all() else "The gradient of the signal is NaN or infinite."


def _find_layer(model: keras.Model) -> keras.layers.Layer:
    return model.get_layer(model.output_names[0])


def _list_options(layer_class: type[keras.layers.Layer]) -> list[str]:
    return [name for name in inspect.signature(layer_class).parameters if name != "kwargs"]


def _make_windows(signal: SignalSpec) -> np.ndarray:
    shape = (N_WINDOWS, signal.n_samples, len(signal.leads))
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _compute(model: keras.Model, windows: np.ndarray) -> np.ndarray:
    (values,) = model(windows).values()
    return keras.ops.convert_to_numpy(values)
