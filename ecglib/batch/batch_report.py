"""What a batch did with each of its runs."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from ecglib.evaluation.comparison import Comparison


@dataclasses.dataclass(kw_only=True)
class BatchReport:
    """What a batch did.

    Parameters
    ----------
    batch : str
        Name of the batch.
    folder : Path
        Folder of its runs.
    new : list of str
        Names of the runs that were carried out now.
    existing : list of str
        Names of the runs that existed before.
    failed : dict of str to str
        Name of each run that failed -> why.
    logs : dict of str to Path
        Name of each run that failed -> what it printed; the executed notebook is beside it.
    incomplete : dict of str to str
        Name of each finished run whose notebook stopped after the run was written -> why.
    damaged : dict of str to str
        Name of each damaged run that was set aside and made again -> what was wrong.
    retried : dict of str to str
        Name of each run that was tried again because its kernel had died -> why it died.
    not_started : list of str
        Names of the runs that were not tried, because several others failed in the same way.
    has_controls : bool
        Whether the grid was complete, so that its controls could be chosen.
    comparisons : list of Comparison
        Of all its runs, one for each task and store.
    html : Path, optional
        The report, once it is written.

    Examples
    --------
    >>> report = BatchReport(batch="fusion", folder=Path("runs/fusion"))
    >>> report.new.append("time-cnn_seed0_0123456789")
    >>> len(report.new), report.failed
    (1, {})
    >>> report.failed |= {"a": "ValueError: no", "b": "ValueError: no"}
    >>> report.group_failures()
    {'ValueError: no': ['a', 'b']}
    """

    batch: str
    folder: Path
    new: list[str] = dataclasses.field(default_factory=list)
    existing: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    logs: dict[str, Path] = dataclasses.field(default_factory=dict)
    incomplete: dict[str, str] = dataclasses.field(default_factory=dict)
    damaged: dict[str, str] = dataclasses.field(default_factory=dict)
    retried: dict[str, str] = dataclasses.field(default_factory=dict)
    not_started: list[str] = dataclasses.field(default_factory=list)
    has_controls: bool = False
    comparisons: list[Comparison] = dataclasses.field(default_factory=list)
    html: Path | None = None

    def group_failures(self) -> dict[str, list[str]]:
        """Group the runs that failed by the reason of the first of each group.

        Reasons are alike if they differ in the name of the run or in its seed alone.
        """
        groups: dict[str, list[str]] = {}
        first: dict[str, str] = {}
        for name, reason in self.failed.items():
            kind = re.sub(r"seed\d+", "seed", reason.replace(name, "run"))
            groups.setdefault(first.setdefault(kind, reason), []).append(name)
        return groups

    def describe_failures(self) -> str:
        """Describe the failures, each reason once."""
        groups = self.group_failures().items()
        return "; ".join(f"{reason} ({_count_runs(names)})" for reason, names in groups)


def _count_runs(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} runs, such as {names[0]}"
