"""Deal whole patients to parts so that the size and every class are spread as asked.

As in iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011) each patient goes to the part
that lacks most of what the patient brings, for its size; a class weighs as much as it is rare. Then
patients move to another part, and where they are few also swap, as long as that lessens
``sum(weight * lack ** 2)``, a chi-squared. The hardest patients, of many windows or rare classes,
go first; where patients are few, other orders are tried too and the best is taken.

All numbers are whole, so that sums are exact and every machine deals alike.
"""

from collections.abc import Sequence

import numpy as np

STEPS = 64  # steps in a window: what a part lacks is a fraction of a window
ROUNDS = 20
TRIES = 10
TRIES_UP_TO, SWAPS_UP_TO = 3000, 300  # patients, above which they cost time and gain little


def deal(counts: np.ndarray, fractions: Sequence[float], seed: int) -> np.ndarray:
    """Deal patients to parts.

    Parameters
    ----------
    counts
        array of int of shape (n_patients, n_counts), the windows of each patient by class and, in
        the last column, in all; at least as many patients as parts.
    fractions
        share of the windows for each part.
    seed
        shakes the order of the patients.

    Returns
    -------
    Array of int of shape (n_patients,), the number of the part of each; no part is empty.
    """
    rng = np.random.default_rng(seed)
    total = counts.sum(axis=0, dtype=np.int64)
    weight = np.rint(STEPS * total[-1] / np.maximum(total, 1)).astype(np.int64)
    hardness = np.einsum("pc,pc,c->p", counts, counts, weight, dtype=np.int64)
    order = np.argsort(-hardness * rng.uniform(0.7, 1.4, len(counts)), kind="stable")
    best, least = None, np.inf
    for _ in range(TRIES if len(counts) <= TRIES_UP_TO else 1):
        dealt, lack = _deal_in_order(counts[order], fractions, weight)
        if (imbalance := (lack**2 @ weight).sum()) < least:
            best, least = np.empty_like(dealt), imbalance
            best[order] = dealt
        order = rng.permutation(len(counts))
    return best


def _deal_in_order(
    counts: np.ndarray, fractions: Sequence[float], weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The part of each patient, and what each part still lacks, in steps."""
    brings = np.multiply(counts, STEPS, dtype=np.int64)
    lack = np.rint(np.outer(fractions, brings.sum(axis=0))).astype(np.int64)
    dealt = np.empty(len(brings), np.int64)
    for i, own in enumerate(brings):
        dealt[i] = part = (lack @ (weight * own) / fractions).argmax()
        lack[part] -= own
    for _ in range(ROUNDS):
        changed = _move(dealt, lack, brings, weight)
        if len(brings) <= SWAPS_UP_TO:
            changed |= _swap(dealt, lack, brings, weight)
        if not changed:
            break
    return dealt, lack


def _move(dealt: np.ndarray, lack: np.ndarray, brings: np.ndarray, weight: np.ndarray) -> bool:
    """Move each patient to the part that lacks most of it, the last of a part never."""
    held = np.bincount(dealt, minlength=len(lack))
    moved = False
    for i, own in enumerate(brings):
        here = dealt[i]
        if held[here] == 1:
            continue
        gain = lack @ (weight * own)
        gain[here] += own @ (weight * own)
        there = gain.argmax()
        if gain[there] > gain[here]:
            lack[here] += own
            lack[there] -= own
            held[here] -= 1
            held[there] += 1
            dealt[i] = there
            moved = True
    return moved


def _swap(dealt: np.ndarray, lack: np.ndarray, brings: np.ndarray, weight: np.ndarray) -> bool:
    """Swap each patient with the one for which that helps most, if it helps."""
    swapped = False
    for i, own in enumerate(brings):
        here = dealt[i]
        more = own - brings
        change = ((lack[here] - lack[dealt] + more) * more) @ weight
        change[dealt == here] = 0
        other = change.argmin()
        if change[other] < 0:
            there = dealt[other]
            lack[here] += more[other]
            lack[there] -= more[other]
            dealt[i], dealt[other] = there, here
            swapped = True
    return swapped
