"""Electrodes that are reversed, and leads that are lost."""

from __future__ import annotations

import numpy as np

from ecglib.errors import ExperimentError
from ecglib.robustness.conditions import Conditions

# With the electrodes of the arms reversed each of these leads records what the other one should,
# and lead I its opposite.
SWAPPED = {"II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"}
LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")


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
        If there is no limb lead, or the lead that one changes places with is missing.

    Notes
    -----
    With the potentials L, R and F of the left arm, the right arm and the left leg, Einthoven's
    leads are I = L - R, II = F - R, III = F - L, Goldberger's are aVR = R - (L + F) / 2,
    aVL = L - (R + F) / 2 and aVF = F - (L + R) / 2, and Wilson's central terminal is
    (L + R + F) / 3. Exchanging L and R turns I into -I, exchanges II with III and aVR with aVL, and
    changes neither aVF nor the chest leads.

    Examples
    --------
    >>> from ecglib.datasets.schema import SignalSpec
    >>> signal = SignalSpec(sampling_rate_hz=100.0, n_samples=1, leads=("I", "II", "III"))
    >>> conditions = Conditions(signal=signal, rng=np.random.default_rng(0))
    >>> reverse_arms(np.array([[0.5, 0.75, 0.25]]), 100.0, conditions).tolist()
    [[-0.5, 0.25, 0.75]]
    """
    leads = conditions.signal.leads
    _check_limb_leads(leads)
    if conditions.rng.random() * 100 >= severity:
        return x
    reversed_x = x[:, [leads.index(SWAPPED.get(lead, lead)) for lead in leads]]
    return np.where([lead == "I" for lead in leads], -reversed_x, reversed_x)


def _check_limb_leads(leads: tuple[str, ...]) -> None:
    missing = [other for lead, other in SWAPPED.items() if lead in leads and other not in leads]
    if missing or not set(leads) & set(LIMB):
        needed = f"{', '.join(missing)} is missing" if missing else "there is no limb lead"
        raise ExperimentError(
            f"The arms cannot be reversed in the leads {', '.join(leads)}: {needed}. II changes "
            f"places with III, and aVR with aVL. Leave this disturbance out."
        )


def lose_leads(x: np.ndarray, severity: float, conditions: Conditions) -> np.ndarray:
    """Set leads that are drawn at random to 0 mV, as if their electrodes were off.

    At a higher severity a window loses further leads.

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
