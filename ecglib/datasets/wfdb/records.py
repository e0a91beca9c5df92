"""WFDB records, of one piece or of segments. Strict, and fast where ECG data sets are large."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ecglib.datasets.units import INVALID, MV_PER_UNIT, STEP_MV, find_mv_per_unit, to_steps
from ecglib.datasets.wfdb.headers import GAP, Header, Layout, Segment, read_header
from ecglib.datasets.wfdb.samples import NOT_MEASURED, PIECE, beside, read_samples
from ecglib.errors import DatasetError, RecordError

STEPS = (0, STEP_MV, INVALID)  # the scale of digital samples that are steps already


@dataclass(slots=True, eq=False)
class WfdbRecord:
    """A record of one segment.

    Parameters
    ----------
    header
        what its header says.
    digital
        array of shape (n_samples, n_leads), int16, or int32 where a format has more bits;
        read-only.
    """

    header: Header
    digital: np.ndarray

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads, in order."""
        return self.header.leads

    @property
    def sampling_rate_hz(self) -> float:
        """Samples a second."""
        return self.header.sampling_rate_hz

    @property
    def n_samples(self) -> int:
        """Samples of a lead."""
        return len(self.digital)

    @property
    def first_sample_differs(self) -> bool:
        """Whether a lead begins with another sample than its header gives."""
        first = tuple(self.digital[0].tolist())
        if first == self.header.initials:
            return False
        each = zip(first, self.header.initials, self.header.layout.codings, strict=True)
        return any(
            initial not in (None, own) and coding.samples_per_frame == 1 and coding.skew == 0
            for own, initial, coding in each
        )

    def steps(self, columns: Sequence[int]) -> np.ndarray:
        """The leads in these columns, as steps of 0.001 mV.

        Returns
        -------
        array of shape (n_samples, len(columns)), int16
            Clipped at 32.767 mV; `INVALID` where nothing was measured. It is `digital` itself,
            read-only, where all leads are chosen in order and stored as such steps.

        Raises
        ------
        RecordError
            the unit of a chosen lead is none of voltage.
        """
        if self._scales(columns) == (STEPS,):
            return self._chosen(columns).astype(np.int16, copy=False)
        return to_steps(self.signal_mv(columns))

    def signal_mv(self, columns: Sequence[int]) -> np.ndarray:
        """The leads in these columns, in mV.

        Returns
        -------
        array of shape (n_samples, len(columns)), float64
            NaN where nothing was measured.

        Raises
        ------
        RecordError
            the unit of a chosen lead is none of voltage.
        """
        scales = self._scales(columns)
        signal_mv = np.empty((self.n_samples, len(columns)))
        if len(scales) == 1:
            _to_mv(self._chosen(columns), scales[0], signal_mv)
        else:
            for i, column in enumerate(columns):
                _to_mv(self.digital[:, column], scales[i], signal_mv[:, i])
        return signal_mv

    def _chosen(self, columns: Sequence[int]) -> np.ndarray:
        columns = list(columns)
        if columns == list(range(len(self.leads))):
            return self.digital
        return self.digital[:, columns]

    def _scales(self, columns: Sequence[int]) -> tuple[tuple[int, float, int], ...]:
        try:
            return _scales(self.header.layout, tuple(columns))
        except DatasetError as error:
            units = [self.header.layout.codings[column].unit.lower() for column in columns]
            column = next(c for c, unit in zip(columns, units, strict=True) if unit not in MV_PER_UNIT)
            raise RecordError(
                "unknown_unit", f"Lead {self.leads[column]!r} of {self.header.path}: {error}"
            ) from None


class SegmentedRecord:
    """A record of several segments. Leads are found by name; gaps, and leads that a segment does
    not have, are not measured there.

    Parameters
    ----------
    header
        what its header says.
    leads
        names of the leads, in order.
    pieces
        for each segment that is no gap: its first sample in the record, and its record.
    """

    def __init__(
        self, header: Header, leads: tuple[str, ...], pieces: list[tuple[int, WfdbRecord]]
    ):
        self.header = header
        self.leads = leads
        self.pieces = pieces

    @property
    def sampling_rate_hz(self) -> float:
        """Samples a second."""
        return self.header.sampling_rate_hz

    @property
    def n_samples(self) -> int:
        """Samples of a lead."""
        return sum(segment.n_samples for segment in self.header.segments)

    @property
    def first_sample_differs(self) -> bool:
        """Whether a segment begins with another sample than its header gives."""
        return any(record.first_sample_differs for _, record in self.pieces)

    def steps(self, columns: Sequence[int]) -> np.ndarray:
        """The leads in these columns, as steps of 0.001 mV: see `WfdbRecord.steps`."""
        return self._joined(WfdbRecord.steps, columns, np.int16, INVALID)

    def signal_mv(self, columns: Sequence[int]) -> np.ndarray:
        """The leads in these columns, in mV: see `WfdbRecord.signal_mv`."""
        return self._joined(WfdbRecord.signal_mv, columns, np.float64, np.nan)

    def _joined(self, samples_of, columns: Sequence[int], dtype, missing) -> np.ndarray:
        joined = np.full((self.n_samples, len(columns)), missing, dtype)
        for start, record in self.pieces:
            own = [i for i, column in enumerate(columns) if self.leads[column] in record.leads]
            chosen = [record.leads.index(self.leads[columns[i]]) for i in own]
            joined[start : start + record.n_samples, own] = samples_of(record, chosen)
        return joined


def read_record(path: str | os.PathLike, verify: bool = True) -> WfdbRecord | SegmentedRecord:
    """Read a record.

    Parameters
    ----------
    path
        its header file, with or without ``.hea``.
    verify
        compare the sum of each signal's samples with the header's checksum, where the header gives
        a number of samples and any checksum but 0.

    Raises
    ------
    RecordError
        ``bad_header``, ``missing_file``, ``truncated``, ``wrong_checksum``, ``unreadable``; for a
        record of several segments also ``ambiguous_lead``.
    """
    header = read_header(path)
    return _read_segments(header, verify) if header.segments else _read_one(header, verify)


def _read_segments(header: Header, verify: bool) -> SegmentedRecord:
    leads, pieces, start = None, [], 0
    for number, segment in enumerate(header.segments):
        if segment.name != GAP and (number == 0 or segment.n_samples > 0):
            own = read_header(beside(header, segment.name))
            _require_distinct_leads(own)
            leads = own.leads if leads is None else leads
            if segment.n_samples > 0:
                _require_fits(own, header, segment, leads)
                pieces.append((start, _read_one(own, verify)))
        start += segment.n_samples
    if start != (header.n_samples or start) or leads is None:
        raise RecordError(
            "bad_header",
            f"{header.path} promises {header.n_samples} samples; its segments have {start}, of "
            f"{len(leads or ())} leads.",
        )
    return SegmentedRecord(header, leads, pieces)


def _require_distinct_leads(own: Header) -> None:
    if len(set(own.leads)) < len(own.leads):
        raise RecordError(
            "ambiguous_lead",
            f"{own.path} has leads {own.leads}; a name stands twice, and the leads of segments are "
            "found by name.",
        )


def _require_fits(own: Header, header: Header, segment: Segment, leads: tuple[str, ...]) -> None:
    """Refuse a segment that is not what the header of the whole record says."""
    found = {"segments": len(own.segments), "samples": own.n_samples, "Hz": own.sampling_rate_hz}
    expected = {"segments": 0, "samples": segment.n_samples, "Hz": header.sampling_rate_hz}
    # A first segment without samples lists the leads of all; the others each have some of them.
    some = header.segments[0].n_samples == 0
    if found != expected or not (set(own.leads) <= set(leads) if some else own.leads == leads):
        raise RecordError(
            "bad_header",
            f"{own.path} has {found} and leads {own.leads}; as a segment of {header.path} it must "
            f"have {expected} and {'some of the' if some else 'the'} leads {leads}.",
        )


def _read_one(header: Header, verify: bool) -> WfdbRecord:
    digital = read_samples(header, verify)
    digital.flags.writeable = False
    return WfdbRecord(header, digital)


@lru_cache(maxsize=1024)
def _scales(layout: Layout, columns: tuple[int, ...]) -> tuple[tuple[int, float, int], ...]:
    """The digital sample of 0 mV, mV in one digital step, and what was not measured.

    One for each column, or one in all where they are equal.
    """
    codings = [layout.codings[column] for column in columns]
    scales = [(c.baseline, find_mv_per_unit(c.unit) / c.gain, NOT_MEASURED[c.format]) for c in codings]
    return tuple(scales[:1] if len(set(scales)) == 1 else scales)


def _to_mv(digital: np.ndarray, scale: tuple[int, float, int], out: np.ndarray) -> None:
    baseline, mv_a_step, not_measured = scale
    n_rows = max(PIECE * len(digital) // digital.size, 1)
    for start in range(0, len(digital), n_rows):
        piece, mv = digital[start : start + n_rows], out[start : start + n_rows]
        np.subtract(piece, float(baseline), out=mv)
        mv *= mv_a_step
        if piece.min() == not_measured:
            mv[piece == not_measured] = np.nan
