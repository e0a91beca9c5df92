"""What is wrong with a source's records: which are left out, which are kept, and the list of all.

Each kind has its rule. `prepare` takes ``keep`` and ``exclude`` to change it, and ``strict`` to
stop at the first record that would be left out. The list is ``problems.csv`` in the store.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ecglib.datasets.schema import Problem
from ecglib.errors import DatasetError, require_one_of

# Nothing can be kept of a record that cannot be read or has no label.
UNUSABLE = {
    "bad_header": "header cannot be read",
    "missing_file": "file missing",
    "truncated": "signal file cut short",
    "wrong_checksum": "checksum differs from the header's",
    "unreadable": "signal file cannot be read",
    "missing_lead": "lead missing",
    "ambiguous_lead": "lead stands twice",
    "unknown_unit": "unit is none of voltage",
    "wrong_rate": "cannot be resampled to the working rate",
    "too_short": "shorter than a window",
    "no_start": "no place given for a window around a beat",
    "no_record": "rows of the label table without a record",
    "no_row": "records without a row in the label table",
    "duplicate_id": "ids that stand twice in the label table",
    "empty_label": "no label",
}
EXCLUDED = {
    "not_measured": "samples that were not measured (NaN)",
    "flat": "every lead flat",
    "wrong_unit": "unit cannot be millivolt",
}
FLAGGED = {
    "flat_lead": "a lead flat",
    "lead_off": "a lead without change for half a second",
    "clipped": "a lead clipped",
    "first_sample": "first sample differs from the header's",
}
KINDS = UNUSABLE | EXCLUDED | FLAGGED


class ProblemLog:
    """Collects problems, decides by rule, and writes the list.

    Parameters
    ----------
    keep, exclude
        kinds whose rule is to be the other one.
    strict
        raise for the first record that would be left out.

    Raises
    ------
    ExperimentError
        a kind that has no rule to be changed.
    """

    def __init__(self, keep: Sequence[str] = (), exclude: Sequence[str] = (), strict: bool = False):
        for option, kinds in (("keep", keep), ("exclude", exclude)):
            for kind in kinds:
                require_one_of(option, kind, EXCLUDED | FLAGGED)
        self._excludes = (set(UNUSABLE) | set(EXCLUDED) | set(exclude)) - set(keep)
        self._strict = strict
        self._counts = Counter()
        self._file = None

    def to_request(self) -> dict:
        """The rules that decide the content of a store."""
        return {"excluded": sorted(self._excludes - set(UNUSABLE))}

    def open(self, path: Path) -> "ProblemLog":
        """Write the list to a CSV file from now on; to be closed by `close`."""
        self._file = open(path, "w", newline="")  # noqa: SIM115 - closed by `close`
        self._csv = csv.writer(self._file)
        self._csv.writerow(["record", "kind", "excluded", "detail"])
        return self

    def close(self) -> None:
        """Close the list."""
        self._file.close()

    def excludes(self, kind: str) -> bool:
        """Whether the rule leaves out what has this problem."""
        return kind in self._excludes

    def add(self, problem: Problem) -> None:
        """Note a problem.

        Raises
        ------
        DatasetError
            `strict`, and the record would be left out.
        """
        excluded = self.excludes(problem.kind)
        if excluded and self._strict:
            raise DatasetError(
                f"Record {problem.record!r}: {KINDS[problem.kind]}. {problem.detail} Correct it, "
                f"or prepare without strict: the record is then left out and listed."
            )
        self._counts[problem.kind] += 1
        self._csv.writerow([problem.record, problem.kind, excluded, problem.detail])

    def counts(self, excluded: bool) -> dict[str, int]:
        """How many records were left out, or kept, for each kind of problem that was met."""
        return {
            kind: self._counts[kind]
            for kind in KINDS
            if self._counts[kind] and self.excludes(kind) == excluded
        }
