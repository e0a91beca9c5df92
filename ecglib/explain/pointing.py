"""The pointing test: does an attribution point at the evidence, where that is known?

Simulated datasets know where the evidence of a class is: the record minus the same record without
the class (`ecglib.datasets.sources.synthetic.SimulatedSource.simulate_evidence`). This says at
which times, in which band and in which leads an attribution should be high.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ecglib.datasets.schema import SignalSpec
from ecglib.errors import EcgError
from ecglib.explain.attribution import Attribution
from ecglib.explain.beats import label_window
from ecglib.explain.patient_means import average_over_patients
from ecglib.explain.scores import LEAD, WAVE, Axis

# The true region is the smallest that has this fraction of the evidence's energy. Leads share it
# out more evenly than times and frequencies do: those that have half of it are the true ones.
REGION_FRACTION = {"time": 0.9, "frequency": 0.9, WAVE: 0.9, LEAD: 0.5}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """The evidence of a class in some windows.

    Parameters
    ----------
    signal_mv : array of shape (n_windows, n_samples, n_leads)
        The windows in mV.
    without_mv : array of shape (n_windows, n_samples, n_leads)
        The same windows without the class.
    signal : SignalSpec
        Their sampling rate and leads.
    patients : str array of shape (n_windows,)
        Patient of each window.

    Examples
    --------
    >>> signal_mv = np.zeros((1, 100, 2))
    >>> signal_mv[0, 40, 1] = 1.0
    >>> evidence = Evidence(
    ...     signal_mv=signal_mv,
    ...     without_mv=np.zeros((1, 100, 2)),
    ...     signal=SignalSpec(100.0, 100, ("I", "II")),
    ...     patients=np.array(["a"]),
    ... )
    >>> evidence.find_region(Axis(name="lead", unit="", values=np.array(["I", "II"]))).tolist()
    [[False, True]]
    """

    signal_mv: np.ndarray
    without_mv: np.ndarray
    signal: SignalSpec
    patients: np.ndarray

    def compute_energy(self, axis: Axis) -> np.ndarray:
        """Compute the energy of the evidence along an axis, shape (n_windows, n), in mV².

        Along frequency it is that of the change of the amplitude spectrum.

        Parameters
        ----------
        axis : Axis
            Of an attribution: time, wave, frequency or lead. A value stands for what is nearest
            to it.

        Raises
        ------
        EcgError
            If the axis is another one.
        """
        energy = (self.signal_mv - self.without_mv) ** 2
        n_samples = energy.shape[1]
        if axis.name == LEAD:
            places = [self.signal.leads.index(str(name).split()[0]) for name in axis.values]
            return energy.sum(axis=1)[:, places]
        if axis.name == "time":
            places_s = np.arange(n_samples) / self.signal.sampling_rate_hz
            return _sum_nearest(energy.sum(axis=2), places_s, axis.values)
        if axis.name == WAVE:
            labels = np.stack([label_window(one, self.signal) for one in self.signal_mv])
            is_wave = labels[:, :, None] == axis.values
            return np.einsum("ntk,nt->nk", is_wave, energy.sum(axis=2))
        if axis.name == "frequency":
            spectra = [np.abs(np.fft.rfft(x, axis=1)) for x in (self.signal_mv, self.without_mv)]
            change = ((spectra[0] - spectra[1]) ** 2).sum(axis=2)
            places_hz = np.fft.rfftfreq(n_samples, 1 / self.signal.sampling_rate_hz)
            return _sum_nearest(change, places_hz, axis.values)
        raise EcgError(
            f"Evidence has no axis {axis.name!r}, only {', '.join(REGION_FRACTION)}. Score an "
            f"attribution with one of these."
        )

    def find_region(self, axis: Axis) -> np.ndarray:
        """Find the smallest region with most of the energy, bool of shape (n_windows, n).

        Parameters
        ----------
        axis : Axis
            Time, wave or frequency, for 90 % of the energy, or lead, for 50 %.
        """
        energy = self.compute_energy(axis)
        order = np.argsort(-energy, axis=1, kind="stable")
        ranked = np.take_along_axis(energy, order, axis=1)
        before = np.cumsum(ranked, axis=1) - ranked
        is_needed = before < REGION_FRACTION[axis.name] * energy.sum(axis=1, keepdims=True)
        region = np.zeros(energy.shape, bool)
        np.put_along_axis(region, order, is_needed, axis=1)
        return region


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointingScore:
    """How often a method points at the evidence, along one axis.

    Parameters
    ----------
    method, input_name, class_name, axis : str
        Method of the attribution, input that it is of, class, and axis.
    n_windows, n_patients : int
        What the score is computed from.
    hits, hits_low, hits_high : float
        Fraction of windows whose highest value is inside the true region, and its 95 % interval
        over patients.
    hits_chance : float
        The same for a random place: the fraction of the axis that the region covers.
    rank, rank_low, rank_high : float
        Mean rank of the true leads by their attribution, 1 is the highest, and its interval; nan
        for other axes.
    rank_chance, rank_best : float
        The same in a random order, and if the true leads are the first.

    Examples
    --------
    >>> score = PointingScore(
    ...     method="gradient",
    ...     input_name="signal",
    ...     class_name="MI",
    ...     axis="time",
    ...     n_windows=50,
    ...     n_patients=40,
    ...     hits=0.92,
    ...     hits_low=0.84,
    ...     hits_high=0.98,
    ...     hits_chance=0.2,
    ... )
    >>> score.hits > score.hits_chance
    True
    """

    method: str
    input_name: str
    class_name: str
    axis: str
    n_windows: int
    n_patients: int
    hits: float
    hits_low: float
    hits_high: float
    hits_chance: float
    rank: float = np.nan
    rank_low: float = np.nan
    rank_high: float = np.nan
    rank_chance: float = np.nan
    rank_best: float = np.nan


def score_pointing(attribution: Attribution, evidence: Evidence) -> list[PointingScore]:
    """Score how often an attribution points at the evidence.

    Parameters
    ----------
    attribution : Attribution
        Of the windows of the evidence, in their order.
    evidence : Evidence
        Where it should be high.

    Returns
    -------
    list of PointingScore
        One for each axis of the attribution.

    Raises
    ------
    EcgError
        If the windows are not as many, or an axis is not time, wave, frequency or lead.

    Notes
    -----
    The pointing game of Zhang et al., "Top-down neural attention by excitation backprop"
    (International Journal of Computer Vision 126:1084, 2018), without a tolerance: a hit is a
    window in which the place of the highest importance is inside the true region. Where several
    places are equally high, the fraction of them inside counts. Leads are ranked by the sum of
    their importance.

    Examples
    --------
    >>> from ecglib.explain.examples import make_class_score
    >>> from ecglib.explain.attribution import attribute_by_gradient
    >>> target = make_class_score()
    >>> evidence = Evidence(
    ...     signal_mv=target.inputs["signal"],
    ...     without_mv=np.zeros((2, 200, 2)),
    ...     signal=SignalSpec(100.0, 200, ("I", "II")),
    ...     patients=np.array(["a", "b"]),
    ... )
    >>> found = attribute_by_gradient(target)["signal"]
    >>> [score.axis for score in score_pointing(found, evidence)]
    ['time', 'lead']
    """
    if len(attribution.windows) != len(evidence.patients):
        raise EcgError(
            f"The attribution has {len(attribution.windows)} windows, and the evidence "
            f"{len(evidence.patients)}. Give both of the same windows."
        )
    return [
        _score_axis(attribution, evidence, place, axis)
        for place, axis in enumerate(attribution.axes)
    ]


def _score_axis(
    attribution: Attribution, evidence: Evidence, place: int, axis: Axis
) -> PointingScore:
    others = tuple(k + 1 for k in range(len(attribution.axes)) if k != place)
    region = evidence.find_region(axis)
    is_lead = axis.name == LEAD
    importance = attribution.importance
    along = importance.sum(axis=others) if is_lead else importance.max(axis=others)
    is_highest = along == along.max(axis=1, keepdims=True)
    inside = (is_highest & region).sum(axis=1) / is_highest.sum(axis=1)
    hits = average_over_patients(inside, evidence.patients)
    chance = average_over_patients(region.mean(axis=1), evidence.patients)
    ranks = _rank_leads(along, region, evidence.patients) if is_lead else {}
    return PointingScore(
        method=attribution.method,
        input_name=attribution.input_name,
        class_name=attribution.class_name,
        axis=axis.name,
        n_windows=len(region),
        n_patients=len(np.unique(evidence.patients)),
        hits=float(hits.estimate),
        hits_low=float(hits.low),
        hits_high=float(hits.high),
        hits_chance=float(chance.estimate),
        **ranks,
    )


def _rank_leads(along: np.ndarray, region: np.ndarray, patients: np.ndarray) -> dict[str, float]:
    """Compute the mean rank of the true leads, with its interval, by chance, and at best."""
    from scipy.stats import rankdata

    ranks = rankdata(-along, axis=1)
    n_true = region.sum(axis=1)
    rank = average_over_patients((ranks * region).sum(axis=1) / n_true, patients)
    best = average_over_patients((n_true + 1) / 2, patients)
    return {
        "rank": float(rank.estimate),
        "rank_low": float(rank.low),
        "rank_high": float(rank.high),
        "rank_chance": (along.shape[1] + 1) / 2,
        "rank_best": float(best.estimate),
    }


def _sum_nearest(values: np.ndarray, places: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Sum values, (n_windows, n_places), at the nearest of evenly spaced centers."""
    step = centers[1] - centers[0] if len(centers) > 1 else np.inf
    edges = (centers[:-1] + centers[1:]) / 2
    nearest = np.searchsorted(edges, places, side="right")
    is_near = np.abs(places - centers[nearest]) <= step / 2 + 1e-9
    sums = np.zeros((len(values), len(centers)))
    np.add.at(sums.T, nearest[is_near], values[:, is_near].T)
    return sums
