"""Attributions by occlusion: how much the score falls when a part of an input is missing."""

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import EcgError
from ecglib.explain.attribution import CONTRIBUTION, Attribution, describe
from ecglib.explain.beats import OTHER, WAVES, label_window
from ecglib.explain.gradients import compute_scores
from ecglib.explain.run_scores import SIGNAL
from ecglib.explain.scores import LEAD, WAVE, Axis, ClassScore

# From one window of an input, (...), and its baseline to its variants, (n_variants, ...).
MakeVariants = Callable[[np.ndarray, np.ndarray], np.ndarray]


def occlude_leads(target: ClassScore) -> dict[str, Attribution]:
    """Compute how much the score falls when one lead is silent.

    Parameters
    ----------
    target : ClassScore
        What is explained. On the signal, a lead falls silent for all branches; on the
        representations, for one branch at a time.

    Returns
    -------
    dict of str to Attribution
        Name of an input with leads -> contributions, (n_windows, n_leads), in logits.

    Notes
    -----
    Zeiler and Fergus, "Visualizing and understanding convolutional networks" (ECCV 2014,
    arXiv:1311.2901). The lead takes its baseline: 0 mV, or what a representation makes of 0 mV.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> occlude_leads(make_class_score())["signal"].values.shape
    (2, 2)
    """
    found: dict[str, Attribution] = {}
    for name in _find_inputs(target, LEAD):
        axes = target.scores.inputs[name].axes
        parts = np.eye(len(axes[-1].values), dtype=bool)
        silence = functools.partial(_silence, masks=_spread(parts, len(axes) - 1, len(axes)))
        found |= _compare(target, name, silence, (axes[-1],), "occlusion of leads")
    return found


def occlude_segments(target: ClassScore, width_s: float = 0.1) -> dict[str, Attribution]:
    """Compute how much the score falls when a segment of all leads is a straight line.

    Parameters
    ----------
    target : ClassScore
        What is explained.
    width_s : float, default 0.1
        Length of a segment in s; segments follow each other without overlap.

    Returns
    -------
    dict of str to Attribution
        Name of an input with a time axis -> contributions, (n_windows, n_segments), in logits, on
        the centers of the segments.

    Raises
    ------
    EcgError
        If `width_s` is not above 0, or no input has a time axis.

    Notes
    -----
    The line joins the neighbors of the segment. Zeros in its place would begin and end with a
    step, which has all frequencies.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> found = occlude_segments(make_class_score(), width_s=0.5)["signal"]
    >>> found.axes[0].values.tolist()
    [0.25, 0.75, 1.25, 1.75]
    """
    found: dict[str, Attribution] = {}
    for name in _find_inputs(target, "time"):
        time = target.scores.inputs[name].axes[0]
        centers, parts = _split_axis(time.values, width_s, "width_s", "s")
        bridge = functools.partial(_bridge_parts, parts=parts)
        axis = Axis(name="time", unit="s", values=centers)
        found |= _compare(target, name, bridge, (axis,), "occlusion of segments")
    return found


def occlude_waves(target: ClassScore, signal: SignalSpec) -> dict[str, Attribution]:
    """Compute how much the score falls when one wave of all beats is a straight line in one lead.

    The beats of a window show the same, so that a score may not fall when one beat is missing.

    Parameters
    ----------
    target : ClassScore
        What is explained, from the signal.
    signal : SignalSpec
        Leads and sampling rate of its windows.

    Returns
    -------
    dict of str to Attribution
        "signal" -> contributions, (n_windows, 4, n_leads), in logits: of P, QRS, T and the rest of
        the window, in each lead. Where no R peaks are found, all is rest. In windows around one
        beat the waves are those of this beat, and its neighbors are rest.

    Raises
    ------
    EcgError
        If the target is not explained from the signal.

    Notes
    -----
    Waves begin and end as in `ecglib.explain.beats.locate_waves`: by the R peaks and the RR
    interval. The line joins the neighbors of the wave, as in `occlude_segments`.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> found = occlude_waves(make_class_score(), SignalSpec(100.0, 200, ("I", "II")))["signal"]
    >>> [axis.values.tolist() for axis in found.axes]
    [['P', 'QRS', 'T', 'other'], ['I', 'II']]
    """
    if SIGNAL not in target.inputs:
        raise EcgError(
            f"The target is explained from {list(target.inputs)}, and waves are parts of the "
            f"signal. Explain the model from the signal (`build_signal_scores`)."
        )
    waves = Axis(name=WAVE, unit="", values=np.array([*WAVES, OTHER]))
    leads = target.scores.inputs[SIGNAL].axes[-1]
    bridge = functools.partial(_bridge_waves, signal=signal)
    return _compare(target, SIGNAL, bridge, (waves, leads), "occlusion of waves")


def occlude_bands(target: ClassScore, width_hz: float = 5.0) -> dict[str, Attribution]:
    """Compute how much the score falls when a frequency band of all leads is missing.

    Parameters
    ----------
    target : ClassScore
        What is explained.
    width_hz : float, default 5.0
        Width of a band in Hz; bands follow each other without overlap.

    Returns
    -------
    dict of str to Attribution
        Name of an input with a time or frequency axis -> contributions, (n_windows, n_bands), in
        logits, on the centers of the bands.

    Raises
    ------
    EcgError
        If `width_hz` is not above 0, or no input has one of these axes.

    Notes
    -----
    Where there are bins, those of the band take their baseline. From samples, the band is removed
    by setting its bins of the Fourier transform of the window to 0.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> found = occlude_bands(make_class_score(), width_hz=25.0)["signal"]
    >>> found.axes[0].values.tolist()
    [12.5, 37.5]
    """
    found: dict[str, Attribution] = {}
    for name in _find_inputs(target, "frequency", "time"):
        axes = target.scores.inputs[name].axes
        names = [axis.name for axis in axes]
        if "frequency" in names:
            place = names.index("frequency")
            centers, parts = _split_axis(axes[place].values, width_hz, "width_hz", "Hz")
            remove = functools.partial(_silence, masks=_spread(parts, place, len(axes)))
        else:
            time_s = axes[0].values
            frequency_hz = np.fft.rfftfreq(len(time_s), time_s[1] - time_s[0])
            centers, parts = _split_axis(frequency_hz, width_hz, "width_hz", "Hz")
            remove = functools.partial(_filter_parts, parts=parts)
        axis = Axis(name="frequency", unit="Hz", values=centers)
        found |= _compare(target, name, remove, (axis,), "occlusion of bands")
    return found


def _find_inputs(target: ClassScore, *axes: str) -> Iterator[str]:
    """Find the inputs that have one of the axes."""
    names = [
        name
        for name, one in target.scores.inputs.items()
        if any(axis.name in axes for axis in one.axes)
    ]
    if not names:
        raise EcgError(
            f"No input of {list(target.inputs)} has an axis {' or '.join(axes)}. Explain the model "
            f"from the signal (`build_signal_scores`)."
        )
    return iter(names)


def _split_axis(
    values: np.ndarray, width: float, name: str, unit: str
) -> tuple[np.ndarray, np.ndarray]:
    """Split an axis into parts: their centers, (n_parts,), and masks, (n_parts, n)."""
    if not width > 0:
        raise EcgError(f"{name}={width} must be above 0 {unit}.")
    last = max(0, math.ceil(values[-1] / width - 1e-9) - 1)
    places = np.minimum(np.floor(values / width + 1e-9), last)
    numbers = np.unique(places)
    return (numbers + 0.5) * width, places == numbers[:, None]


def _spread(parts: np.ndarray, place: int, n_axes: int) -> np.ndarray:
    """Give masks of one axis, (n_parts, n), as many axes as a window has."""
    shape = [parts.shape[1] if k == place else 1 for k in range(n_axes)]
    return parts.reshape(-1, *shape)


def _silence(x: np.ndarray, baseline: np.ndarray, *, masks: np.ndarray) -> np.ndarray:
    return np.where(masks, baseline, x)


def _bridge_parts(x: np.ndarray, baseline: np.ndarray, *, parts: np.ndarray) -> np.ndarray:
    """Join what lies before and after each part of the first axis by a straight line."""
    steps, columns = np.arange(len(x)), x.reshape(len(x), -1).T
    variants = []
    for part in parts:
        # A part that is the whole axis has no neighbors: its mean takes their place.
        if part.all():
            lines = [np.full(len(x), column.mean()) for column in columns]
        else:
            lines = [np.interp(steps, steps[~part], column[~part]) for column in columns]
        variants.append(np.stack(lines, axis=1).reshape(x.shape))
    return np.stack(variants)


def _bridge_waves(x: np.ndarray, baseline: np.ndarray, *, signal: SignalSpec) -> np.ndarray:
    """Join what lies before and after each wave by a straight line, in one lead at a time."""
    labels = label_window(x, signal)
    bridged = _bridge_parts(x, baseline, parts=np.array([labels == w for w in (*WAVES, OTHER)]))
    is_lead = np.eye(x.shape[1], dtype=bool)[:, None, :]
    return np.concatenate([np.where(is_lead, one, x) for one in bridged])


def _filter_parts(x: np.ndarray, baseline: np.ndarray, *, parts: np.ndarray) -> np.ndarray:
    """Remove each part of the bins of the Fourier transform over the first axis."""
    spectra = np.where(parts[:, :, None], 0, np.fft.rfft(x, axis=0))
    return np.fft.irfft(spectra, len(x), axis=1)


def _compare(
    target: ClassScore,
    name: str,
    make_variants: MakeVariants,
    axes: tuple[Axis, ...],
    method: str,
) -> dict[str, Attribution]:
    """Subtract the scores of variants of one input from the score of each window."""
    scores = compute_scores(target.model, target.inputs, target.class_index)
    baseline = target.scores.inputs[name].baseline
    values = []
    for row, score in enumerate(scores):
        variants = make_variants(target.inputs[name][row], baseline)
        inputs = {
            other: np.repeat(x[row][None], len(variants), axis=0)
            for other, x in target.inputs.items()
        }
        inputs[name] = variants
        values.append(score - compute_scores(target.model, inputs, target.class_index))
    falls = np.stack(values).reshape(len(values), *(len(axis.values) for axis in axes))
    return describe(target, {name: falls}, method, CONTRIBUTION, axes)
