"""Attributions by gradients: what each value of an input contributes to the score of a class."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from ecglib.errors import EcgError
from ecglib.explain.gradients import compute_gradients
from ecglib.explain.scores import LEAD, Axis, ClassScore

CONTRIBUTION = "logit"
SQUARE_S = 0.04  # a small square of the paper of an ECG
Inputs = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Attribution:
    """What one input of a model contributes to the score of one class, by one method.

    Parameters
    ----------
    values : array of shape (n_windows, ...)
        One axis for each of `axes`.
    axes : tuple of Axis
        The axes of one window, with their units.
    unit : str
        Unit of the values: "logit" for contributions to the score, "logit per mV" or the like for
        sensitivities, "" for a relative map.
    input_name : str
        The input: "signal", or a representation.
    method : str
        Name of the method.
    class_name : str
        The class.
    windows : tuple of str
        Names of the windows.

    Raises
    ------
    EcgError
        If the shape of the values is not that of the windows and axes.

    Examples
    --------
    >>> lead = Axis(name="lead", unit="", values=np.array(["I", "II"]))
    >>> attribution = Attribution(
    ...     values=np.array([[-2.0, 1.0]]),
    ...     axes=(lead,),
    ...     unit="logit per mV",
    ...     input_name="signal",
    ...     method="gradient",
    ...     class_name="MI",
    ...     windows=("record 100",),
    ... )
    >>> attribution.importance.tolist()
    [[2.0, 1.0]]
    """

    values: np.ndarray
    axes: tuple[Axis, ...]
    unit: str
    input_name: str
    method: str
    class_name: str
    windows: tuple[str, ...]

    def __post_init__(self) -> None:
        expected = (len(self.windows), *(len(axis.values) for axis in self.axes))
        if self.values.shape != expected:
            raise EcgError(
                f"The values have shape {self.values.shape}, and the windows and axes have "
                f"{expected}. Give one value for each entry."
            )

    @property
    def importance(self) -> np.ndarray:
        """The values to rank by: contributions as they are, of sensitivities the size."""
        return self.values if self.unit == CONTRIBUTION else np.abs(self.values)

    @property
    def shown(self) -> np.ndarray:
        """What a page shows: of the signal squares of 40 ms, otherwise `importance`.

        A square is the sum of its contributions, or the mean of the sizes of its sensitivities.
        """
        if [axis.name for axis in self.axes] != ["time", LEAD]:
            return self.importance
        squares = np.floor(self.axes[0].values / SQUARE_S + 1e-9).astype(int)
        importance, counts = self.importance, np.bincount(squares)
        sums = np.zeros((len(self.values), len(counts), self.values.shape[-1]))
        for sample, square in enumerate(squares):
            sums[:, square] += importance[:, sample]
        return sums if self.unit == CONTRIBUTION else sums / counts[:, None]


def attribute_by_gradient(target: ClassScore) -> dict[str, Attribution]:
    """Compute the gradient of the score: how it changes with a small change of each value.

    Parameters
    ----------
    target : ClassScore
        What is explained.

    Returns
    -------
    dict of str to Attribution
        Name of an input -> gradient on its axes, in logits per unit of the input.

    Notes
    -----
    Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks" (2014,
    arXiv:1312.6034), here with the sign and without multiplying by the input.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> found = attribute_by_gradient(make_class_score())["signal"]
    >>> found.values.shape, found.unit
    ((2, 200, 2), 'logit per mV')
    """
    values = compute_gradients(target.model, target.inputs, target.class_index)
    return _describe_sensitivity(target, values, "gradient")


def attribute_by_smoothgrad(
    target: ClassScore, n_samples: int = 50, noise: float = 0.1, seed: int = 0
) -> dict[str, Attribution]:
    """Compute the mean gradient over copies of each window with added white noise.

    Parameters
    ----------
    target : ClassScore
        What is explained.
    n_samples : int, default 50
        Copies of each window.
    noise : float, default 0.1
        Standard deviation of the noise over the range, max - min, of an input in a window. There
        is no noise on tabular values.
    seed : int, default 0
        Seed of the noise, which is the same on every backend.

    Returns
    -------
    dict of str to Attribution
        Name of an input -> mean gradient on its axes, in logits per unit of the input.

    Raises
    ------
    EcgError
        If `n_samples` is below 1.

    Notes
    -----
    Smilkov et al., "SmoothGrad: removing noise by adding noise" (2017, arXiv:1706.03825), who
    recommend 50 copies and a noise of 0.1 to 0.2.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> attribute_by_smoothgrad(make_class_score(), n_samples=4)["signal"].values.shape
    (2, 200, 2)
    """
    _check_count("n_samples", n_samples)
    rng = np.random.default_rng(seed)

    def add_noise(row: int) -> Inputs:
        return {name: disturb(name, x[row]) for name, x in target.inputs.items()}

    def disturb(name: str, x: np.ndarray) -> np.ndarray:
        is_noisy = target.scores.inputs[name].axes[-1].name == LEAD
        sd = noise * float(np.max(x) - np.min(x)) if is_noisy else 0.0
        return x + sd * rng.standard_normal((n_samples, *x.shape))

    values = _average_gradients(target, add_noise, np.full(n_samples, 1 / n_samples))
    return _describe_sensitivity(target, values, "SmoothGrad")


def attribute_by_integrated_gradients(
    target: ClassScore, n_steps: int = 128
) -> dict[str, Attribution]:
    """Integrate the gradient from the baseline to the window, times the difference of the two.

    The values of all inputs add up to the difference of the score from that of the baseline, up to
    the error of the integration: `ecglib.explain.check_completeness` states this gap.

    Parameters
    ----------
    target : ClassScore
        What is explained. The baselines are those of its inputs: 0 mV, or what a representation
        makes of 0 mV; a missing tabular value stays missing and contributes 0.
    n_steps : int, default 128
        Nodes of the integration.

    Returns
    -------
    dict of str to Attribution
        Name of an input -> contributions on its axes, in logits.

    Raises
    ------
    EcgError
        If `n_steps` is below 1.

    Notes
    -----
    Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks" (ICML 2017,
    arXiv:1703.01365). The nodes are those of Gauss and Legendre. For a smooth model a few dozen are
    exact to rounding; with ReLU the gap falls as 1 / `n_steps`. With 128 it was 0.008 to 0.01 of
    the difference of the scores for a trained CNN of the time series, and for untrained CNNs from
    the signal 0.001 to 0.02, of the spectrum up to 0.05 and of three branches up to 0.08.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> found = attribute_by_integrated_gradients(make_class_score(), n_steps=8)["signal"]
    >>> found.values.shape, found.unit
    ((2, 200, 2), 'logit')
    """
    _check_count("n_steps", n_steps)
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    fractions, weights = (nodes + 1) / 2, weights / 2
    baselines = target.make_baselines()

    def interpolate(row: int) -> Inputs:
        return {
            name: baselines[name][row]
            + fractions.reshape(-1, *[1] * (x.ndim - 1)) * (x[row] - baselines[name][row])
            for name, x in target.inputs.items()
        }

    gradients = _average_gradients(target, interpolate, weights)
    values = {
        name: np.nan_to_num(x - baselines[name]) * gradients[name]
        for name, x in target.inputs.items()
    }
    return describe(target, values, "integrated gradients", CONTRIBUTION)


def describe(
    target: ClassScore, values: Inputs, method: str, unit: str, axes: tuple[Axis, ...] = ()
) -> dict[str, Attribution]:
    """Describe values as attributions.

    Parameters
    ----------
    target : ClassScore
        What is explained.
    values : mapping of str to array of shape (n_windows, ...)
        Name of an input -> its values.
    method, unit : str
        As in `Attribution`.
    axes : tuple of Axis, default ()
        The axes of the values; empty for those of the input.

    Returns
    -------
    dict of str to Attribution
        Name of an input -> its attribution.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> target = make_class_score()
    >>> describe(target, target.inputs, "the input itself", "mV")["signal"].class_name
    'MI'
    """
    return {
        name: Attribution(
            values=found,
            axes=axes or target.scores.inputs[name].axes,
            unit=unit,
            input_name=name,
            method=method,
            class_name=target.class_name,
            windows=target.windows,
        )
        for name, found in values.items()
    }


def _average_gradients(
    target: ClassScore, make_variants: Callable[[int], Inputs], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute the weighted mean of the gradients at variants of each window."""
    found = []
    for row in range(len(target.windows)):
        gradients = compute_gradients(target.model, make_variants(row), target.class_index)
        found.append({name: np.tensordot(weights, x, axes=1) for name, x in gradients.items()})
    return {name: np.stack([one[name] for one in found]) for name in target.inputs}


def _describe_sensitivity(
    target: ClassScore, values: Inputs, method: str
) -> dict[str, Attribution]:
    found: dict[str, Attribution] = {}
    for name in target.inputs:
        unit = f"logit per {target.scores.inputs[name].unit}"
        found |= describe(target, {name: values[name]}, method, unit)
    return found


def _check_count(name: str, value: int) -> None:
    if value < 1:
        raise EcgError(f"{name}={value} must be at least 1. Leave it out for the default.")
