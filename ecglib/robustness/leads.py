"""Electrodes that are reversed, and leads that are lost."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from ecglib.errors import ExperimentError
from ecglib.robustness.conditions import Conditions

# With the electrodes of the arms reversed each of these leads records what the other one should,
# and lead I its opposite.
SWAPPED = {"II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"}
# Each limb lead as a sum of the leads I and II, with these weights.
LIMB = MappingProxyType(
    {
        "I": (1.0, 0.0),
        "II": (0.0, 1.0),
        "III": (-1.0, 1.0),
        "aVR": (-0.5, -0.5),
        "aVL": (1.0, -0.5),
        "aVF": (-0.5, 1.0),
    }
)


def reverse_arms(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Reverse the electrodes of the left and the right arm in some windows.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Probability that the electrodes of a window are reversed, in percent.
    conditions : Conditions
        Leads and random numbers.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Raises
    ------
    ExperimentError
        If there is no limb lead, or too few to derive what they would record.

    Notes
    -----
    With the potentials L, R and F of the left arm, the right arm and the left leg, Einthoven's
    leads are I = L - R, II = F - R, III = F - L, Goldberger's are aVR = R - (L + F) / 2,
    aVL = L - (R + F) / 2 and aVF = F - (L + R) / 2, and Wilson's central terminal is
    (L + R + F) / 3. Exchanging L and R turns I into -I, exchanges II with III and aVR with aVL, and
    changes neither aVF nor the chest leads. Where the lead that one changes places with was not
    recorded, it is derived from two others: III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1, leads=("I", "II", "III"))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> reverse_arms(np.array([[0.5, 0.75, 0.25]]), 100.0, conditions).tolist()
    [[-0.5, 0.25, 0.75]]
    """
    leads = conditions.signal.leads
    weights = _find_reversed_leads(leads)
    if conditions.rng.random() * 100 >= severity:
        return x
    return x @ weights


def _find_reversed_leads(leads: tuple[str, ...]) -> np.ndarray:
    """Return the weight of each lead in what each one records: (n_leads, n_leads)."""
    limb = [lead for lead in leads if lead in LIMB]
    derived = [lead for lead in limb if SWAPPED.get(lead, lead) not in leads]
    weights_of_limb = np.array([LIMB[lead] for lead in limb]).reshape(-1, 2)
    if not limb or (derived and np.linalg.matrix_rank(weights_of_limb) < 2):
        problem = f"{SWAPPED[derived[0]]} is missing" if derived else "there is no limb lead"
        raise ExperimentError(
            f"The arms cannot be reversed in the leads {', '.join(leads)}: {problem}. II changes "
            f"places with III, and aVR with aVL; a missing one is derived from two other limb "
            f"leads. Leave this disturbance out."
        )
    weights = np.zeros((len(leads), len(leads)))
    from_limb = np.linalg.pinv(weights_of_limb)
    for place, lead in enumerate(leads):
        other = SWAPPED.get(lead, lead)
        if other in leads:
            weights[leads.index(other), place] = -1.0 if lead == "I" else 1.0
        else:
            rows = [leads.index(one) for one in limb]
            weights[rows, place] = np.array(LIMB[other]) @ from_limb
    return weights


def lose_leads(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Set leads that are drawn at random to 0 mV.

    At a higher severity a window loses further leads. Leads are lost one by one, as by a broken
    channel; an electrode of a limb that is off would change several leads at once.

    Parameters
    ----------
    x : array of shape (n_samples, n_leads)
        Samples of a window in mV, without padding.
    severity : float
        Number of lost leads, a whole number below the number of leads.
    conditions : Conditions
        Leads and random numbers.

    Returns
    -------
    array of shape (n_samples, n_leads)
        In mV.

    Raises
    ------
    ExperimentError
        If the severity is not such a number.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1, leads=("I", "II", "III"))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> lose_leads(np.ones((1, 3)), 2.0, conditions).tolist()
    [[0.0, 1.0, 0.0]]
    """
    n_leads = len(conditions.signal.leads)
    if severity != int(severity) or not severity < n_leads:
        raise ExperimentError(
            f"{severity:g} of {n_leads} leads cannot be lost. Give a whole number below {n_leads}."
        )
    lost = conditions.rng.permutation(n_leads)[: int(severity)]
    remaining = x.copy()
    remaining[:, lost] = 0.0
    return remaining
