"""Assign whole patients to groups so that the size and every class are spread as asked.

As in iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011) each patient goes to the group
with the largest deficit of what the patient adds, relative to the group's size; a class weighs the
more the rarer it is. Then patients are moved to other groups and, where there are few patients,
swapped, as long as that lowers ``sum(weight * deficit ** 2)``, a chi-squared statistic. The hardest
patients, with many windows or rare classes, are assigned first; where there are few patients, other
orders are tried too and the best result is taken.

All numbers are integers, so sums are exact and every machine gives the same groups.
"""

from collections.abc import Sequence

import numpy as np

STEPS_PER_WINDOW = 64  # the deficit of a group is counted in fractions of a window
MAX_ROUNDS = 20
N_ORDERS = 10
# Above these numbers of patients, further orders and swaps take time and gain little.
MAX_PATIENTS_FOR_ORDERS = 3000
MAX_PATIENTS_FOR_SWAPS = 300


def assign_groups(counts: np.ndarray, fractions: Sequence[float], seed: int) -> np.ndarray:
    """Assign patients to groups.

    Parameters
    ----------
    counts : int array of shape (n_patients, n_classes + 1)
        Windows of each patient, by class and, in the last column, in total. There are at least as
        many patients as groups.
    fractions : sequence of float
        Fraction of the windows for each group.
    seed : int
        Seed of the order of the patients.

    Returns
    -------
    int array of shape (n_patients,)
        Group of each patient, from 0; no group is empty.

    Examples
    --------
    >>> counts = np.array([[4, 8], [0, 8], [2, 4], [2, 4], [0, 8]])
    >>> groups = assign_groups(counts, (0.5, 0.5), seed=0)
    >>> [int(counts[groups == group, 1].sum()) for group in (0, 1)]
    [16, 16]
    """
    rng = np.random.default_rng(seed)
    total = counts.sum(axis=0, dtype=np.int64)
    weight = np.rint(STEPS_PER_WINDOW * total[-1] / np.maximum(total, 1)).astype(np.int64)
    hardness = np.einsum("pc,pc,c->p", counts, counts, weight, dtype=np.int64)
    order = np.argsort(-hardness * rng.uniform(0.7, 1.4, len(counts)), kind="stable")
    best, min_imbalance = np.empty(len(counts), np.int64), np.inf
    for _ in range(N_ORDERS if len(counts) <= MAX_PATIENTS_FOR_ORDERS else 1):
        groups, deficit = _assign_in_order(counts[order], fractions, weight)
        if (imbalance := (deficit**2 @ weight).sum()) < min_imbalance:
            min_imbalance = imbalance
            best[order] = groups
        order = rng.permutation(len(counts))
    return best


def _assign_in_order(
    counts: np.ndarray, fractions: Sequence[float], weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each patient and the deficit of each group, in steps."""
    patient_steps = np.multiply(counts, STEPS_PER_WINDOW, dtype=np.int64)
    deficit = np.rint(np.outer(fractions, patient_steps.sum(axis=0))).astype(np.int64)
    groups = np.empty(len(patient_steps), np.int64)
    for i, steps in enumerate(patient_steps):
        groups[i] = group = (deficit @ (weight * steps) / fractions).argmax()
        deficit[group] -= steps
    for _ in range(MAX_ROUNDS):
        changed = _move_patients(groups, deficit, patient_steps, weight)
        if len(patient_steps) <= MAX_PATIENTS_FOR_SWAPS:
            changed |= _swap_patients(groups, deficit, patient_steps, weight)
        if not changed:
            break
    return groups, deficit


def _move_patients(
    groups: np.ndarray, deficit: np.ndarray, patient_steps: np.ndarray, weight: np.ndarray
) -> bool:
    """Move each patient to the group with the largest deficit, but never the last of a group."""
    sizes = np.bincount(groups, minlength=len(deficit))
    moved = False
    for i, steps in enumerate(patient_steps):
        source = groups[i]
        if sizes[source] == 1:
            continue
        gain = deficit @ (weight * steps)
        gain[source] += steps @ (weight * steps)
        target = gain.argmax()
        if gain[target] > gain[source]:
            deficit[source] += steps
            deficit[target] -= steps
            sizes[source] -= 1
            sizes[target] += 1
            groups[i] = target
            moved = True
    return moved


def _swap_patients(
    groups: np.ndarray, deficit: np.ndarray, patient_steps: np.ndarray, weight: np.ndarray
) -> bool:
    """Swap each patient with the one for which that helps most, if it helps."""
    swapped = False
    for i, steps in enumerate(patient_steps):
        source = groups[i]
        surplus = steps - patient_steps
        change = ((deficit[source] - deficit[groups] + surplus) * surplus) @ weight
        change[groups == source] = 0
        partner = change.argmin()
        if change[partner] < 0:
            target = groups[partner]
            deficit[source] += surplus[partner]
            deficit[target] -= surplus[partner]
            groups[i], groups[partner] = target, source
            swapped = True
    return swapped
