"""Problems of a source's records: the kinds, the rules that exclude or flag, and the list.

Each kind of problem has a rule: its records are excluded, or flagged and kept. `ProblemRules`
changes a rule, or stops at the first record that would be excluded. The list of all problems is
``problems.csv`` in the store.
"""

import csv
import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ecglib.datasets.schema import Problem
from ecglib.errors import DatasetError, RecordError, require_one_of
from ecglib.paths import neutralize_formula

MAX_DETAIL = 500  # characters of an unforeseen error

# Always excluded: a record that cannot be read or has no label is of no use.
UNUSABLE = {
    "bad_header": "header cannot be read",
    "missing_file": "file missing",
    "truncated": "file cut short",
    "wrong_checksum": "checksum differs from the published one",
    "unreadable": "file cannot be read",
    "missing_lead": "lead missing",
    "ambiguous_lead": "lead found more than once",
    "unknown_unit": "unit is not a voltage",
    "wrong_rate": "cannot be resampled to the working rate",
    "out_of_range": "amplitudes beyond 32.767 mV",
    "too_large": "larger than a record can be",
    "too_short": "shorter than a window",
    "no_start": "no start given for a window around a beat",
    "no_record": "rows of the label table without a record",
    "no_row": "records without a row in the label table",
    "duplicate_id": "ids found more than once in the label table",
    "empty_label": "no label",
}
# Excluded unless the rules keep them.
EXCLUDED = {
    "not_measured": "samples that were not measured (NaN)",
    "flat": "every lead flat",
    "wrong_unit": "unit cannot be millivolt",
}
# Kept, and listed, unless the rules exclude them.
FLAGGED = {
    "flat_lead": "a lead flat",
    "lead_off": "a lead without change for half a second",
    "clipped": "a lead clipped",
    "first_sample": "first sample differs from the header's",
    "offset": "a constant offset subtracted",
    "ignored_option": "a given unit or sampling rate that the file contradicts",
    "assumed": "what the file does not say was assumed",
    "not_a_number": "age or sex that cannot be read",
    "similar_patient": "patients whose identifiers differ only in how they are written",
}
KINDS = UNUSABLE | EXCLUDED | FLAGGED


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProblemRules:
    """Which kinds of problem exclude a record from a store.

    Parameters
    ----------
    keep : sequence of str, default ()
        Kinds of `EXCLUDED` whose records are kept and flagged.
    exclude : sequence of str, default ()
        Kinds of `FLAGGED` whose records are excluded.
    strict : bool, default False
        Whether to stop at the first record that would be excluded.

    Raises
    ------
    ExperimentError
        If a kind is unknown or always excluded.

    Examples
    --------
    >>> rules = ProblemRules(keep=["flat"], exclude=["clipped"])
    >>> rules.excludes("flat"), rules.excludes("clipped"), rules.excludes("truncated")
    (False, True, True)
    """

    keep: Sequence[str] = ()
    exclude: Sequence[str] = ()
    strict: bool = False

    def __post_init__(self) -> None:
        for option, kinds in (("keep", self.keep), ("exclude", self.exclude)):
            for kind in kinds:
                require_one_of(option, kind, EXCLUDED | FLAGGED)
            object.__setattr__(self, option, tuple(kinds))  # so that equal rules compare equal

    def excludes(self, kind: str) -> bool:
        """Tell whether records with this kind of problem are excluded."""
        if kind in UNUSABLE:
            return True
        return kind not in self.keep and (kind in EXCLUDED or kind in self.exclude)

    def to_request(self) -> dict[str, Any]:
        """Return the plain values that decide the content of a store."""
        return {"excluded": sorted(kind for kind in EXCLUDED | FLAGGED if self.excludes(kind))}


DEFAULT_RULES = ProblemRules()


def make_problem(record: str, error: Exception) -> Problem:
    """Make the problem of a record that could not be read.

    Parameters
    ----------
    record : str
        Name of the record.
    error : Exception
        Any error that reading it raised: damaged files raise what nobody foresaw, and the other
        records go on.

    Returns
    -------
    Problem
        Of the kind of a `RecordError`, otherwise ``unreadable``, with the type of the error.

    Examples
    --------
    >>> make_problem("r1", RecordError("truncated", "r1.dat has 10 bytes, expected 20.")).kind
    'truncated'
    >>> make_problem("r1", OverflowError("too large")).detail
    'OverflowError: too large'
    """
    if isinstance(error, RecordError):
        return Problem(record, error.kind, str(error))
    return Problem(record, "unreadable", f"{type(error).__name__}: {str(error)[:MAX_DETAIL]}")


class ProblemLog:
    """Applies the rules to problems, counts them and writes them to a CSV file.

    A context manager: the file is written while it is open.

    Parameters
    ----------
    path : Path
        The CSV file.
    rules : ProblemRules, default DEFAULT_RULES
        Which kinds exclude a record.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ProblemLog(Path(folder) / "problems.csv") as log:
    ...         log.add(Problem("r7", "clipped", "V1"))
    ...     print((Path(folder) / "problems.csv").read_text(), end="")
    record,kind,excluded,detail
    r7,clipped,False,V1
    >>> log.count(excluded=False)
    {'clipped': 1}
    """

    def __init__(self, path: Path, rules: ProblemRules = DEFAULT_RULES):
        self.rules = rules
        self._path = path
        self._counts: Counter[str] = Counter()
        self.first_excluded: Problem | None = None

    def __enter__(self) -> "ProblemLog":
        self._file = open(self._path, "w", newline="", encoding="utf-8", errors="replace")
        self._csv = csv.writer(self._file)
        self._csv.writerow(["record", "kind", "excluded", "detail"])
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, problem: Problem) -> None:
        """Count a problem and add it to the list.

        Parameters
        ----------
        problem : Problem
            What was found.

        Raises
        ------
        DatasetError
            If the rules are strict and would exclude the record.
        """
        excluded = self.rules.excludes(problem.kind)
        if excluded and self.rules.strict:
            found = f"{KINDS[problem.kind]}. {problem.detail}".rstrip(" .")
            raise DatasetError(
                f"Record {problem.record!r}: {found}. Correct the record, or prepare without "
                f"strict: the record is then excluded and listed."
            )
        if excluded and self.first_excluded is None:
            self.first_excluded = problem
        self._counts[problem.kind] += 1
        record, detail = neutralize_formula(problem.record), neutralize_formula(problem.detail)
        self._csv.writerow([record, problem.kind, excluded, detail])

    def count(self, *, excluded: bool) -> dict[str, int]:
        """Count the problems of each kind that was met.

        Parameters
        ----------
        excluded : bool
            True for the kinds that exclude a record, False for those that flag it.

        Returns
        -------
        dict of str to int
            Number of problems of each kind, in the order of `KINDS`.
        """
        return {
            kind: self._counts[kind]
            for kind in KINDS
            if self._counts[kind] and self.rules.excludes(kind) == excluded
        }
