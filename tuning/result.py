"""What a search found."""

import dataclasses
from pathlib import Path

import pandas as pd

from ecglib.evaluation.scoreboard import Scoreboard
from tuning.optimism import Optimism, estimate_optimism
from tuning.trials import Trial
from tuning.winner import Winner

SHOWN_SETTINGS = ("crop_s", "width", "feature_dim", "dropout", "learning_rate", "weight_decay")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found.

    Parameters
    ----------
    folder : Path
        Folder of the search.
    n_trials : int, optional
        Number of trials that were asked for; the space may hold fewer. None for as many as the
        oracle wanted.
    n_existing : int
        Number of trials that had been finished before.
    trials : list of Trial
        All trials, in the order of their numbers; those of the finalists with the mean score of
        their seeds.
    caveats : tuple of str
        Caveats of the dataset.
    winner : Winner
        The finalist, or without finalists the trial, with the highest validation macro AUROC, the
        first of equals, and its files.
    comparison : Scoreboard, optional
        The finalists on the validation patients; None without finalists.

    Examples
    --------
    >>> trial = Trial(number=1, status="completed", experiment={}, model="time:cnn", val_auroc=0.9)
    >>> folder = Path("searches/mine")
    >>> result = SearchResult(
    ...     folder=folder,
    ...     n_trials=1,
    ...     n_existing=1,
    ...     trials=[trial],
    ...     caveats=("synthetic data",),
    ...     winner=Winner(
    ...         trial=trial,
    ...         parameters=folder / "winner.yaml",
    ...         batch=folder / "tuned-0123456789.yaml",
    ...     ),
    ... )
    >>> result.describe()[0], result.caveat
    ('All 1 trials already exist; nothing to run.', 'synthetic data')
    >>> result.table()[["trial", "model"]].values.tolist()
    [[1, 'time:cnn']]
    """

    folder: Path
    n_trials: int | None
    n_existing: int
    trials: list[Trial]
    caveats: tuple[str, ...]
    winner: Winner
    comparison: Scoreboard | None = None

    @property
    def caveat(self) -> str:
        """All caveats as one text, to show with every number."""
        return "; ".join(self.caveats)

    @property
    def optimism(self) -> Optimism | None:
        """How much too good the winner's score is expected to be; None if it is unknown."""
        return estimate_optimism(self.trials, self.winner.trial, self.comparison)

    def table(self) -> pd.DataFrame:
        """Return the trials as a table, one per row, the finalists and then the best first."""
        rows = [
            {
                "trial": trial.number,
                "status": trial.status,
                "validation macro AUROC": trial.val_auroc,
                "seeds": trial.n_seeds,
                "model": trial.model,
                "epochs": trial.experiment.get("epochs"),
                **{name: trial.experiment.get(name) for name in SHOWN_SETTINGS},
                "parameters": trial.parameters,
                "seconds": trial.seconds,
            }
            for trial in self.trials
        ]
        table = pd.DataFrame(rows).astype({"parameters": "Int64"})
        order = ["seeds", "validation macro AUROC", "trial"]
        return table.sort_values(order, ascending=[False, False, True], ignore_index=True)

    def compare_finalists(self) -> pd.DataFrame:
        """Return the differences between the winner and the other finalists, as a table.

        Returns
        -------
        DataFrame
            finalist, difference (the winner's validation macro AUROC minus that of the finalist),
            low and high (its 95 % interval over patients and seeds); no row without finalists.
        """
        columns = ["finalist", "difference", "low", "high"]
        if self.comparison is None:
            return pd.DataFrame(columns=columns)
        names = {f"#{trial.number}": trial for trial in self.trials}
        winner = f"#{self.winner.trial.number}"
        rows = []
        for name in self.comparison.measurements:
            if name != winner:
                difference = self.comparison.subtract(winner, name)
                low, high = difference.compute_interval()
                label = f"{names[name].model}  {name}"
                rows.append((label, difference.estimate, low, high))
        return pd.DataFrame(rows, columns=columns)

    def describe(self) -> list[str]:
        """Return sentences on what was tried, what failed, what won and what its score is worth."""
        n_new = len(self.trials) - self.n_existing
        sentences = [f"New trials: {n_new}, existing: {self.n_existing}."]
        if not n_new:
            sentences = [f"All {self.n_existing} trials already exist; nothing to run."]
        if self.n_trials is not None and len(self.trials) < self.n_trials:
            sentences.append(
                f"The search space holds no more trials; {self.n_trials} were asked for."
            )
        sentences += [
            f"Trial {trial.number} {trial.status}: {trial.reason}"
            for trial in self.trials
            if trial.error
        ]
        best = self.winner.trial
        seeds = f", mean of {best.n_seeds} seeds" if best.n_seeds > 1 else ""
        sentences.append(
            f"Best on the validation patients: trial {best.number}, {best.model}, macro AUROC "
            f"{best.val_auroc:.4f}{seeds}. It was chosen for this score, which is therefore too "
            f"good; the test split was not used."
        )
        if optimism := self.optimism:
            sentences.append(optimism.describe())
        return sentences + [f"Caveat: {caveat}." for caveat in self.caveats]
