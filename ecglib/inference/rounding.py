"""How far two float32 computations of a probability may be apart by rounding alone."""

import numpy as np

from ecglib.evaluation.calibration import PROBABILITY_ROUNDING
from ecglib.experiment.contract import Contract

UNIT_ROUNDOFF = 2.0**-24  # of float32
N_ROUNDINGS = 512  # operations whose rounding adds up in one logit
N_LAST_ROUNDINGS = 4  # of a sigmoid or softmax: exponential, sum, quotient, result


def compute_tolerance(p: np.ndarray, raw_p: np.ndarray, contract: Contract) -> np.ndarray:
    """Compute how far each probability may be off by float32 rounding.

    Parameters
    ----------
    p : array of shape (n_windows, n_classes)
        Calibrated probabilities.
    raw_p : array of shape (n_windows, n_classes)
        The network's probabilities, before calibration.
    contract : Contract
        Kind of the task, and the calibration.

    Returns
    -------
    array of shape (n_windows, n_classes)
        Largest difference of `p` that rounding explains.

    Notes
    -----
    A converter may add the products of a layer in another order. The computed sum of n products
    differs from the exact one by up to about n u relative to the sum of their magnitudes, where
    u = 2^-24 is the unit roundoff (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
    ed., 2002, section 3.1). A logit z with `N_ROUNDINGS` roundings on its way is therefore known to

        dz = N_ROUNDINGS u (1 + |z|).

    Everything after the logit is a known function, through which dz is propagated to first order.
    The network's probability q is known to dq = q (1 - q) dz + 4 u, with 4 u for the sigmoid or
    softmax itself. The calibration takes the evidence e = log(q + r) of multi-class tasks, with
    its constant r, and log(q + r) - log(1 - q + r) of multi-label ones, so de = dq / (q + r), plus
    dq / (1 - q + r) for the latter. It multiplies e by its scale s. The calibrated probability p is
    known to p (1 - p) s de + 4 u for a sigmoid, and to
    p_k (s_k de_k + sum over j of p_j s_j de_j) + 4 u for a softmax.

    So a model whose calibration stretches its logits by s has s times the tolerance: barely
    trained models have scales of up to 50. At p = 0.5 and s = 1 it is 8e-6.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> contract = SimpleNamespace(kind="multi_label", calibration_scale=(1.0, 50.0))
    >>> half = np.full((1, 2), 0.5)
    >>> compute_tolerance(half, half, contract).round(7).tolist()
    [[8.1e-06, 0.0003934]]
    """
    u, r = UNIT_ROUNDOFF, PROBABILITY_ROUNDING[contract.kind]
    p, raw_p = np.asarray(p, np.float64), np.asarray(raw_p, np.float64)
    scale = np.abs(contract.calibration_scale)
    inside = np.clip(raw_p, u, 1 - u)
    logit = np.log(inside) - np.log1p(-inside)
    last_error = N_LAST_ROUNDINGS * u
    raw_error = raw_p * (1 - raw_p) * N_ROUNDINGS * u * (1 + np.abs(logit)) + last_error
    if contract.kind == "multi_class":
        logit_error = scale * raw_error / (raw_p + r)
        return p * (logit_error + np.sum(p * logit_error, axis=1, keepdims=True)) + last_error
    logit_error = scale * raw_error * (1 / (raw_p + r) + 1 / (1 - raw_p + r))
    return p * (1 - p) * logit_error + last_error
