"""From a run and a window to the class scores that are explained."""

import ecglib._keras  # noqa: F401

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from ecglib.errors import require_one_of
from ecglib.experiment.contract import Contract
from ecglib.experiment.registry import TABULAR
from ecglib.explain.gradients import compute_outputs, compute_scores
from ecglib.explain.run_scores import SIGNAL
from ecglib.explain.scores import ClassScore, ScoreModel
from ecglib.inference import Window, compute_tabular


def choose_class(contract: Contract, p: np.ndarray, decisions: Sequence[str], given: str) -> str:
    """Choose the class that is explained.

    Parameters
    ----------
    contract : Contract
        Of the run.
    p : array of shape (n_classes,)
        Calibrated probabilities of the window.
    decisions : sequence of str
        The predicted classes.
    given : str
        The class that was asked for; "" for the predicted class with the highest probability or,
        if none is predicted, the class with the highest probability.

    Returns
    -------
    str
        Name of a class.

    Raises
    ------
    ExperimentError
        If the run has no such class.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract
    >>> contract = make_contract(["time"])
    >>> choose_class(contract, np.array([0.6, 0.4]), ["CD"], "")
    'CD'
    """
    if given:
        require_one_of("class", given, contract.classes)
        return given
    by_probability = [contract.classes[k] for k in np.argsort(-p, kind="stable")]
    return next((name for name in by_probability if name in decisions), by_probability[0])


def make_signal_target(
    contract: Contract, scores: ScoreModel, window: Window, class_name: str
) -> ClassScore:
    """Make the score of a class as a function of the signal of a window.

    Parameters
    ----------
    contract : Contract
        Of the run.
    scores : ScoreModel
        Of `build_signal_scores`.
    window : Window
        The window.
    class_name : str
        The class.

    Returns
    -------
    ClassScore
        Of one window.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract, make_network
    >>> from ecglib.explain.run_scores import build_signal_scores
    >>> contract = make_contract(["time"])
    >>> scores = build_signal_scores(contract, make_network(contract))
    >>> window = Window(record="100", start_s=2.0, steps=np.zeros((200, 2), np.int16))
    >>> make_signal_target(contract, scores, window, "MI").windows
    ('100 from 2 s',)
    """
    return ClassScore(
        scores=scores,
        inputs=_read_inputs(contract, window),
        class_name=class_name,
        windows=(name_window(window),),
    )


def make_representation_target(
    contract: Contract,
    processing: keras.Model,
    scores: ScoreModel,
    signal_scores: ScoreModel,
    target: ClassScore,
) -> tuple[ClassScore, float]:
    """Make the score of a class as a function of the representations of a window.

    Parameters
    ----------
    contract : Contract
        Of the run.
    processing : keras.Model
        Of `ecglib.models.end_to_end.build_processing`.
    scores : ScoreModel
        Of `build_representation_scores`.
    signal_scores : ScoreModel
        Of `build_signal_scores`.
    target : ClassScore
        The same score, as a function of the signal.

    Returns
    -------
    ClassScore
        Of one window. Of a run with crops it is that of the crop with the highest score.
    float
        Where the crop starts in the window, in s; 0 without crops.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract, make_network
    >>> from ecglib.explain.run_scores import build_representation_scores, build_signal_scores
    >>> from ecglib.models.end_to_end import build_processing
    >>> contract = make_contract(["frequency"])
    >>> network = make_network(contract)
    >>> processing = build_processing(contract.signal, contract.processing)
    >>> scores = build_signal_scores(contract, network, processing)
    >>> window = Window(record="100", start_s=2.0, steps=np.zeros((200, 2), np.int16))
    >>> target = make_signal_target(contract, scores, window, "MI")
    >>> of_representations = build_representation_scores(contract, network, processing)
    >>> found, start_s = make_representation_target(
    ...     contract, processing, of_representations, scores, target
    ... )
    >>> list(found.inputs), start_s
    (['frequency'], 0.0)
    """
    inputs, start_s = cut_crops(contract, signal_scores, target.inputs)
    computed = compute_representations(processing, inputs)
    found = {name: computed[name] for name in scores.inputs}
    best = 0
    if len(start_s) > 1:
        class_index = scores.classes.index(target.class_name)
        best = int(compute_scores(scores.model, found, class_index).argmax())
    found_target = ClassScore(
        scores=scores,
        inputs={name: x[best : best + 1] for name, x in found.items()},
        class_name=target.class_name,
        windows=target.windows,
    )
    return found_target, start_s[best]


def cut_crops(
    contract: Contract, signal_scores: ScoreModel, inputs: Mapping[str, np.ndarray]
) -> tuple[Mapping[str, np.ndarray], list[float]]:
    """Cut windows into the crops that a run predicts.

    Parameters
    ----------
    contract : Contract
        Of the run.
    signal_scores : ScoreModel
        Of `build_signal_scores`.
    inputs : mapping of str to array of shape (n_windows, ...)
        "signal" in mV and, if the run takes them, "tabular" values.

    Returns
    -------
    mapping of str to array of shape (n_windows * n_crops, ...)
        The crops of a window after each other; without crops, the windows.
    list of float
        Start of each crop in its window, in s; 0 without crops.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract, make_network
    >>> from ecglib.explain.run_scores import build_signal_scores
    >>> contract = make_contract(["time"])
    >>> scores = build_signal_scores(contract, make_network(contract))
    >>> cut_crops(contract, scores, {"signal": np.zeros((3, 200, 2))})[1]
    [0.0]
    """
    if not contract.processing.crop_s:
        return inputs, [0.0]
    layer = signal_scores.model.get_layer("crops")
    starts = layer.starts(contract.signal.n_samples)
    crops = {name: np.repeat(x, len(starts), axis=0) for name, x in inputs.items()}
    crops[SIGNAL] = keras.ops.convert_to_numpy(layer(inputs[SIGNAL]))
    return crops, [start / contract.signal.sampling_rate_hz for start in starts]


def compute_representations(
    processing: keras.Model, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Compute the representations of windows, or of crops of a run with crops.

    Parameters
    ----------
    processing : keras.Model
        Of `ecglib.models.end_to_end.build_processing`.
    inputs : mapping of str to array of shape (n_windows, ...)
        "signal" in mV and, if the run takes them, "tabular" values.

    Returns
    -------
    dict of str to array of shape (n_windows, ...)
        Name of a representation -> its values.

    Examples
    --------
    >>> from ecglib.explain.examples import make_contract
    >>> from ecglib.models.end_to_end import build_processing
    >>> contract = make_contract(["time"])
    >>> processing = build_processing(contract.signal, contract.processing)
    >>> found = compute_representations(processing, {"signal": np.zeros((1, 200, 2))})
    >>> found["time"].shape
    (1, 200, 2)
    """
    # Its second input, if it has one, are the tabular values.
    names = dict(zip([x.name for x in processing.inputs], (SIGNAL, TABULAR), strict=False))
    given = {place: inputs[name] for place, name in names.items()}
    found: dict[str, np.ndarray] = compute_outputs(processing, given)
    return found


def name_window(window: Window) -> str:
    """Name a window by its record and start.

    Examples
    --------
    >>> name_window(Window(record="100", start_s=2.5, steps=np.zeros((1, 1), np.int16)))
    '100 from 2.5 s'
    """
    return f"{window.record} from {window.start_s:g} s"


def _read_inputs(contract: Contract, window: Window) -> dict[str, np.ndarray]:
    inputs = {SIGNAL: window.signal_mv[None]}
    if columns := contract.processing.tabular_columns:
        inputs[TABULAR] = compute_tabular(window, columns, contract.signal)[None]
    return inputs
