"""How much too good the score of the best of many trials is.

The best of n noisy scores is partly the best because of its noise. How much depends on how noisy
the scores are, on how much trials really differ, and on how much of the noise they share: the
difficulty of the validation patients raises or lowers all of them, and chooses none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from ecglib.evaluation.scoreboard import Scoreboard
from tuning.finalists import describe_configuration
from tuning.trials import Trial

N_SPREADS = 60
JITTER = 1e-6  # of the mean variance: trials that predict the same have a singular covariance
CHANCE = 0.5  # AUROC of a trial that learned nothing
N_CUTS = 8
MIN_LEARNED = 3
Z = 1.959963984540054


class Posterior(NamedTuple):
    """The true scores of all trials, given the observed ones.

    Parameters
    ----------
    mean : array of shape (n_trials,)
        Expected true scores.
    std : array of shape (n_trials,)
        Their standard deviations.

    Examples
    --------
    >>> Posterior(np.array([0.8]), np.array([0.01])).mean.tolist()
    [0.8]
    """

    mean: np.ndarray
    std: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Optimism:
    """How much too good the winner's score is expected to be.

    Parameters
    ----------
    score : float
        The winner's score on the validation patients.
    expected : float
        Its expected score on other patients of the same kind, with other seeds.
    std : float
        Standard deviation of that.
    n_trials : int
        Number of configurations that it was chosen from.
    knows_seeds : bool
        Whether the variance between seeds is contained, which needs finalists.

    Examples
    --------
    >>> optimism = Optimism(score=0.9, expected=0.88, std=0.01, n_trials=20, knows_seeds=True)
    >>> round(optimism.value, 3)
    0.02
    >>> optimism.describe().split(". ")[1]
    'On other patients expect a macro AUROC of 0.880 [0.860, 0.900].'
    """

    score: float
    expected: float
    std: float
    n_trials: int
    knows_seeds: bool

    @property
    def value(self) -> float:
        """The expected optimism: score minus expected score."""
        return self.score - self.expected

    def describe(self) -> str:
        """Return it as a sentence."""
        low, high = self.expected - Z * self.std, self.expected + Z * self.std
        text = (
            f"Expected optimism of the best of {self.n_trials}: {self.value:.4f}. On other "
            f"patients expect a macro AUROC of {self.expected:.3f} "
            f"[{low:.3f}, {min(high, 1.0):.3f}]"
        )
        if not self.knows_seeds:
            text += ", if another seed changes nothing; finalists would show whether it does"
        return f"{text}."


def estimate_optimism(
    trials: Sequence[Trial], winner: Trial, comparison: Scoreboard | None = None
) -> Optimism | None:
    """Estimate how much too good the winner's score is.

    Parameters
    ----------
    trials : sequence of Trial
        All trials of the search, the finalists with their mean scores. Of a configuration that was
        trained for several numbers of epochs only the last version counts, and the winner's.
    winner : Trial
        The one that was chosen.
    comparison : Scoreboard, optional
        The finalists, for the variance between seeds.

    Returns
    -------
    Optimism or None
        None with fewer than two trials that hold influence values.

    Notes
    -----
    The covariance of the scores is that of the trials' influence values over the validation
    patients, with the mean variance and the mean covariance for all: that of each pair depends on
    the same patients as the scores, and would hide half of the optimism (twelve equal models on 120
    patients: 0.021 of 0.052, pooled 0.040; of models that differ 0.007 of 0.023, pooled 0.027). A
    score of S seeds has in addition a variance between seeds of 1 / S of that of one,
    which the finalists give. Given it, `compute_posterior` estimates the true scores. They are not
    biased by the choice of the best, nor by an oracle that chose the trials by earlier scores.

    Examples
    --------
    >>> trial = Trial(number=1, status="completed", experiment={}, model="-", val_auroc=0.9)
    >>> estimate_optimism([trial], trial) is None
    True
    """
    versions: dict[str, Trial] = {}
    for trial in trials:
        if trial.val_auroc is not None and trial.influence:
            key = describe_configuration(trial)
            if versions.get(key) != winner:
                versions[key] = trial
    candidates = list(versions.values())
    if len(candidates) < 2 or winner not in candidates:
        return None
    influence = np.array([trial.influence for trial in candidates])
    n_patients = influence.shape[1]
    covariance = _pool(influence @ influence.T * n_patients / max(1, n_patients - 1))
    seed_variance = 0.0
    if comparison is not None:
        seed_variance = float(
            np.mean(
                [
                    variance.value * len(comparison.measurements[name].scores)
                    for name, variance in comparison.seeds.items()
                ]
            )
        )
    n_seeds = np.array([trial.n_seeds for trial in candidates])
    scores = np.array([trial.val_auroc for trial in candidates], dtype=float)
    posterior = compute_posterior(scores, covariance + np.diag(seed_variance / n_seeds))
    best = candidates.index(winner)
    return Optimism(
        score=float(scores[best]),
        expected=float(posterior.mean[best]),
        std=float(posterior.std[best]),
        n_trials=len(candidates),
        knows_seeds=comparison is not None,
    )


def compute_posterior(scores: np.ndarray, covariance: np.ndarray) -> Posterior:
    """Estimate the true scores of trials from noisy scores with a known covariance.

    Parameters
    ----------
    scores : array of shape (n_trials,)
        Observed AUROC.
    covariance : array of shape (n_trials, n_trials)
        Covariance of their noise.

    Returns
    -------
    Posterior
        Means and standard deviations of the true scores.

    Notes
    -----
    The true scores of trials that learned are drawn from a normal distribution of unknown mean,
    with a flat prior, and unknown standard deviation, with a flat prior as Gelman (Bayesian
    Analysis 1, 2006) suggests for a hierarchical model. Given the standard deviation the posterior
    is the best linear unbiased predictor (Robinson, Statistical Science 6, 1991), which shrinks the
    scores towards each other; it is averaged over the standard deviation by its restricted
    likelihood. That it needs no correction for a selection: Efron, JASA 106 (2011).

    Trials that did not learn may have any score from 0.5 on. Where the others end is not known
    either: the posterior is averaged over the `N_CUTS` widest gaps between scores, and over the
    case that all have learned.

    Examples
    --------
    >>> noise = 0.01**2 * np.eye(3)
    >>> posterior = compute_posterior(np.array([0.80, 0.81, 0.82]), noise)
    >>> bool(0.80 < posterior.mean[0] < 0.81 < posterior.mean[2] < 0.82)
    True
    """
    n = len(scores)
    order = np.argsort(-scores, kind="stable")
    ranked, ranked_covariance = scores[order], covariance[np.ix_(order, order)]
    gaps = ranked[:-1] - ranked[1:]
    cuts = sorted({n, *(int(cut) + 1 for cut in np.argsort(-gaps)[:N_CUTS])})
    log_range = np.log(max(ranked[0] - CHANCE, ranked[0] - ranked[-1], 1e-6))
    fits, log_weights = [], []
    for cut in cuts:
        if cut >= min(n, MIN_LEARNED):
            fit = _fit_learned(ranked[:cut], ranked_covariance[:cut, :cut])
            # A flat prior of the fraction that learned: 1 / (n + 1) / binomial(n, cut).
            log_prior = gammaln(cut + 1) + gammaln(n - cut + 1)
            log_weights.append(fit.log_likelihood + log_prior - (n - cut) * log_range)
            fits.append(_pad(fit, ranked, ranked_covariance))
    mean = np.empty(n)
    std = np.empty(n)
    mean[order], std[order] = _average(
        np.array(log_weights),
        np.array([fit.mean for fit in fits]),
        np.array([fit.variance for fit in fits]),
    )
    return Posterior(mean, std)


def _pool(covariance: np.ndarray) -> np.ndarray:
    """Give all trials the mean variance and all pairs the mean covariance."""
    n = len(covariance)
    shared = (covariance.sum() - np.trace(covariance)) / (n * (n - 1))
    return shared + np.eye(n) * (np.trace(covariance) / n - shared)


class _Fit(NamedTuple):
    log_likelihood: float
    mean: np.ndarray
    variance: np.ndarray


def _fit_learned(scores: np.ndarray, covariance: np.ndarray) -> _Fit:
    """Average the posterior of trials that learned over the standard deviation between them."""
    n = len(scores)
    jitter = JITTER * np.trace(covariance) / n
    values, vectors = np.linalg.eigh(covariance + jitter * np.eye(n))
    s, one = vectors.T @ scores, vectors.T @ np.ones(n)
    noise = np.sqrt(max(0.0, np.trace(covariance) - covariance.sum() / n) / max(1, n - 1))
    spreads = np.linspace(0, 3 * max(float(np.std(scores)), float(noise)), N_SPREADS)
    # One row for each spread: variances of the rotated scores.
    total = spreads[:, None] ** 2 + np.maximum(values, jitter)
    precision = (one**2 / total).sum(axis=1)
    center = (one * s / total).sum(axis=1) / precision
    residual = s - center[:, None] * one
    log_weights = -0.5 * (
        (np.log(2 * np.pi * total) + residual**2 / total).sum(axis=1)
        + np.log(precision / (2 * np.pi))
    )
    shrunk = spreads[:, None] ** 2 / total
    means = center[:, None] + (shrunk * residual) @ vectors.T
    of_center = ((1 - shrunk) * one) @ vectors.T
    of_trials = spreads[:, None] ** 2 * (1 - shrunk @ (vectors**2).T)
    mean, std = _average(log_weights, means, of_trials + of_center**2 / precision[:, None])
    top = log_weights.max()
    return _Fit(float(top + np.log(np.mean(np.exp(log_weights - top)))), mean, std**2)


def _pad(fit: _Fit, scores: np.ndarray, covariance: np.ndarray) -> _Fit:
    """Add the trials that did not learn, which are not shrunk."""
    n = len(fit.mean)
    return _Fit(
        fit.log_likelihood,
        np.concatenate([fit.mean, scores[n:]]),
        np.concatenate([fit.variance, np.diag(covariance)[n:]]),
    )


def _average(
    log_weights: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average posteriors, a row each, by their weights; return mean and standard deviation."""
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    mean = weights @ means
    variance = weights @ variances + weights @ (means - mean) ** 2
    return mean, np.sqrt(np.maximum(0.0, variance))
