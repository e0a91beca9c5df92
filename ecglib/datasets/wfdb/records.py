"""WFDB records, of one segment or several. Strict, and fast where ECG datasets are large."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecglib.datasets.leads import list_leads
from ecglib.datasets.schema import Problem
from ecglib.datasets.units import (
    INVALID,
    MV_PER_UNIT,
    STEP_MV,
    check_size,
    find_mv_per_unit,
    to_steps,
)
from ecglib.datasets.wfdb.files import locate_file
from ecglib.datasets.wfdb.headers import (
    DEFAULT_GAIN,
    DEFAULT_RATE_HZ,
    GAP,
    Header,
    Layout,
    Segment,
    read_header,
)
from ecglib.datasets.wfdb.samples import NOT_MEASURED, PIECE, read_samples
from ecglib.errors import DatasetError, RecordError


class Scale(NamedTuple):
    """What the digital samples of a lead mean.

    Parameters
    ----------
    baseline : int
        Digital sample of 0 mV.
    mv_per_step : float
        mV in one digital step.
    not_measured : int
        Digital sample that stands where nothing was measured.

    Examples
    --------
    >>> scale = Scale(baseline=1024, mv_per_step=0.005, not_measured=-32768)
    >>> (1224 - scale.baseline) * scale.mv_per_step
    1.0
    """

    baseline: int
    mv_per_step: float
    not_measured: int


STEP_SCALE = Scale(0, STEP_MV, INVALID)  # digital samples that are steps of 0.001 mV already


@dataclass(slots=True, eq=False)
class WfdbRecord:
    """A record of one segment.

    Parameters
    ----------
    header : Header
        Its parsed header.
    digital : array of shape (n_frames, samples per frame)
        int16, or int32 where a format has more bits; read-only. A frame has one sample of each
        lead, or several of some (`Layout.slices`).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "r1.hea").write_text("r1 1 250 3\\nr1.dat 16 200/mV 16 0 0 0 0 II\\n")
    ...     np.array([0, 200, -100], "<i2").tofile(Path(folder, "r1.dat"))
    ...     record = read_record(f"{folder}/r1")
    >>> record.leads, record.to_mv([0]).ravel().tolist()
    (('II',), [0.0, 1.0, -0.5])
    """

    header: Header
    digital: np.ndarray

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads, in order."""
        return self.header.leads

    @property
    def sampling_rate_hz(self) -> float:
        """Frames per second: samples per second of a lead with one sample in a frame."""
        return self.header.sampling_rate_hz

    @property
    def sampling_rates_hz(self) -> tuple[float, ...]:
        """Samples per second of each lead."""
        return self.header.sampling_rates_hz

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each lead, as the header names it."""
        return tuple(coding.unit for coding in self.header.layout.codings)

    @property
    def n_samples(self) -> int:
        """Frames: samples of a lead with one sample in a frame."""
        return len(self.digital)

    @property
    def first_sample_differs(self) -> bool:
        """Whether a lead begins with another sample than its header says."""
        first_samples = self.digital[0].tolist()
        if tuple(first_samples) == self.header.initials:
            return False
        layout = self.header.layout
        leads = zip(layout.slices, self.header.initials, layout.codings, strict=True)
        return any(
            initial not in (None, first_samples[columns.start]) and coding.skew == 0
            for columns, initial, coding in leads
        )

    def find_problems(self, name: str, columns: Sequence[int]) -> Iterator[Problem]:
        """Find what is unusual about some leads and does not prevent reading them.

        Parameters
        ----------
        name : str
            Name of the record.
        columns : sequence of int
            Columns of the leads.

        Yields
        ------
        Problem
            Of a kind that flags a record.
        """
        if self.first_sample_differs:
            yield Problem(name, "first_sample", "Length and checksum agree with the header.")
        yield from _find_assumptions(name, self, columns)

    def to_steps(self, columns: Sequence[int]) -> np.ndarray:
        """Convert some leads to steps of 0.001 mV.

        Parameters
        ----------
        columns : sequence of int
            Columns of leads with one sampling rate.

        Returns
        -------
        int16 array of shape (n_samples, n_columns)
            `INVALID` where nothing was measured. It is `digital` itself,
            read-only, if all leads are chosen in order and are stored as such steps.

        Raises
        ------
        RecordError
            If the unit of a chosen lead is not a voltage, or a sample is beyond 32.767 mV.
        """
        if self._find_scales(columns) == (STEP_SCALE,):
            return self._choose_leads(columns).astype(np.int16, copy=False)
        return to_steps(self.to_mv(columns))

    def to_mv(self, columns: Sequence[int]) -> np.ndarray:
        """Convert some leads to mV.

        Parameters
        ----------
        columns : sequence of int
            Columns of leads with one sampling rate.

        Returns
        -------
        float64 array of shape (n_samples, n_columns)
            NaN where nothing was measured.

        Raises
        ------
        RecordError
            If the unit of a chosen lead is not a voltage.
        """
        scales = self._find_scales(columns)
        digital = self._choose_leads(columns)
        signal_mv = np.empty(digital.shape)
        if len(scales) == 1:
            _convert_to_mv(digital, scales[0], signal_mv)
        else:
            for i, scale in enumerate(scales):
                _convert_to_mv(digital[:, i], scale, signal_mv[:, i])
        return signal_mv

    def _choose_leads(self, columns: Sequence[int]) -> np.ndarray:
        columns = list(columns)
        n_leads = len(self.leads)
        if self.digital.shape[1] > n_leads:
            slices = self.header.layout.slices
            leads = [self.digital[:, slices[column]].reshape(-1) for column in columns]
            return np.stack(leads, axis=1)
        if columns == list(range(n_leads)):
            return self.digital
        return self.digital[:, columns]

    def _find_scales(self, columns: Sequence[int]) -> tuple[Scale, ...]:
        try:
            return _find_scales(self.header.layout, tuple(columns))
        except DatasetError as error:
            units = [self.header.layout.codings[column].unit.lower() for column in columns]
            column = next(
                column
                for column, unit in zip(columns, units, strict=True)
                if unit not in MV_PER_UNIT
            )
            raise RecordError(
                "unknown_unit", f"Lead {self.leads[column]!r} of {self.header.path}: {error}"
            ) from None


class SegmentedRecord:
    """A record of several segments.

    Leads are found by name; of leads with one name, the first is the first in each segment. Gaps,
    and leads that a segment lacks, are not measured there.

    Parameters
    ----------
    header : Header
        Its parsed header.
    lead_header : Header
        The header of a segment that has all leads, see `find_lead_header`.
    pieces : list of tuple of int and WfdbRecord
        First frame and record of each segment that is not a gap.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "r1.hea").write_text("r1 1 250 2\\nr1.dat 16 200/mV 16 0 0 0 0 II\\n")
    ...     _ = Path(folder, "all.hea").write_text("all/2 1 250 5\\nr1 2\\n~ 3\\n")
    ...     np.array([200, -200], "<i2").tofile(Path(folder, "r1.dat"))
    ...     record = read_record(f"{folder}/all")
    >>> record.to_mv([0]).ravel().tolist()
    [1.0, -1.0, nan, nan, nan]
    """

    def __init__(self, header: Header, lead_header: Header, pieces: list[tuple[int, WfdbRecord]]):
        self.header = header
        self.leads = lead_header.leads
        self.pieces = pieces
        self._layout = lead_header.layout

    @property
    def sampling_rate_hz(self) -> float:
        """Frames per second: samples per second of a lead with one sample in a frame."""
        return self.header.sampling_rate_hz

    @property
    def sampling_rates_hz(self) -> tuple[float, ...]:
        """Samples per second of each lead."""
        return tuple(
            self.sampling_rate_hz * coding.samples_per_frame for coding in self._layout.codings
        )

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each lead, as the header names it."""
        return tuple(coding.unit for coding in self._layout.codings)

    @property
    def n_samples(self) -> int:
        """Frames: samples of a lead with one sample in a frame."""
        return sum(segment.n_samples for segment in self.header.segments)

    @property
    def first_sample_differs(self) -> bool:
        """Whether a segment begins with another sample than its header says."""
        return any(record.first_sample_differs for _, record in self.pieces)

    def find_problems(self, name: str, columns: Sequence[int]) -> Iterator[Problem]:
        """Find what is unusual about some leads, see `WfdbRecord.find_problems`."""
        wanted = {self.leads[column] for column in columns}
        found: dict[Problem, None] = {}  # in order, each once
        for _, record in self.pieces:
            present = [i for i, lead in enumerate(record.leads) if lead in wanted]
            found |= dict.fromkeys(record.find_problems(name, present))
        yield from found

    def to_steps(self, columns: Sequence[int]) -> np.ndarray:
        """Convert some leads to steps of 0.001 mV, see `WfdbRecord.to_steps`."""
        return self._join(WfdbRecord.to_steps, columns, np.int16, INVALID)

    def to_mv(self, columns: Sequence[int]) -> np.ndarray:
        """Convert some leads to mV, see `WfdbRecord.to_mv`."""
        return self._join(WfdbRecord.to_mv, columns, np.float64, np.nan)

    def _join(
        self,
        convert: Callable[[WfdbRecord, Sequence[int]], np.ndarray],
        columns: Sequence[int],
        dtype: npt.DTypeLike,
        missing: float,
    ) -> np.ndarray:
        """Join what is converted from the segments, with `missing` where nothing was measured."""
        per_frame = self._layout.codings[columns[0]].samples_per_frame
        check_size(self.n_samples * per_frame, len(columns))
        joined = np.full((self.n_samples * per_frame, len(columns)), missing, dtype)
        for start, record in self.pieces:
            in_segment = {
                i: self._find_in_segment(record, column) for i, column in enumerate(columns)
            }
            chosen = {i: column for i, column in in_segment.items() if column is not None}
            if chosen:
                stop = start + record.n_samples
                joined[start * per_frame : stop * per_frame, list(chosen)] = convert(
                    record, list(chosen.values())
                )
        return joined

    def _find_in_segment(self, record: WfdbRecord, column: int) -> int | None:
        """Find a lead in a segment, None if it is not there."""
        lead, header = self.leads[column], record.header
        if lead not in header.leads:
            return None
        if header.leads.count(lead) != self.leads.count(lead):
            raise RecordError(
                "ambiguous_lead",
                f"{header.path} has {header.leads.count(lead)} leads {lead!r}, other segments have "
                f"{self.leads.count(lead)}. Leave the record out, or rename the leads.",
            )
        number = self.leads[:column].count(lead)
        found = [i for i, name in enumerate(header.leads) if name == lead][number]
        if header.sampling_rates_hz[found] != self.sampling_rates_hz[column]:
            raise RecordError(
                "wrong_rate",
                f"Lead {lead!r} has {header.sampling_rates_hz[found]:g} Hz in {header.path} and "
                f"{self.sampling_rates_hz[column]:g} Hz in other segments. Leave the record out.",
            )
        return found


def read_record(path: str | os.PathLike, verify: bool = True) -> WfdbRecord | SegmentedRecord:
    """Read a record.

    Parameters
    ----------
    path : str or path-like
        Its header, with or without ``.hea``.
    verify : bool, default True
        Compare the sum of each signal's samples with the checksum in the header, if the header
        gives a number of samples and any checksum but 0.

    Returns
    -------
    WfdbRecord or SegmentedRecord
        The record, its samples in memory.

    Raises
    ------
    RecordError
        If it cannot be read: ``bad_header``, ``missing_file``, ``truncated``, ``wrong_checksum`` or
        ``unreadable``; for a record of several segments also ``ambiguous_lead``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "r1.hea").write_text("r1 1 250 3\\nr1.dat 16 1000/mV\\n")
    ...     np.array([5, -5, 7], "<i2").tofile(Path(folder, "r1.dat"))
    ...     record = read_record(f"{folder}/r1")
    >>> record.to_steps([0]).ravel().tolist()
    [5, -5, 7]
    """
    header = read_header(path)
    return _read_segments(header, verify) if header.segments else _read_one(header, verify)


def find_lead_header(header: Header) -> Header:
    """Find the header that names all leads of a record.

    Parameters
    ----------
    header : Header
        Header of a record, of one segment or several.

    Returns
    -------
    Header
        The header itself, or that of the first segment with leads.

    Raises
    ------
    RecordError
        If all segments are gaps (``bad_header``), or as for `read_header`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "r1.hea").write_text("r1 1 250 2\\nr1.dat 16 200/mV 16 0 0 0 0 II\\n")
    ...     _ = Path(folder, "all.hea").write_text("all/2 1 250 5\\n~ 3\\nr1 2\\n")
    ...     find_lead_header(read_header(f"{folder}/all")).leads
    ('II',)
    """
    if not header.segments:
        return header
    for number, segment in enumerate(header.segments):
        if segment.name != GAP and (number == 0 or segment.n_samples > 0):
            return _read_segment_header(header, segment)
    raise RecordError(
        "bad_header",
        f"{header.path} has no segment with leads, so no samples to read. Leave the record out.",
    )


def _read_segment_header(header: Header, segment: Segment) -> Header:
    return read_header(locate_file(header.path, f"{segment.name}.hea"))


def _read_segments(header: Header, verify: bool) -> SegmentedRecord:
    n_samples = sum([segment.n_samples for segment in header.segments])
    check_size(n_samples, n_leads=1)
    if n_samples != (header.n_samples or n_samples):
        raise RecordError(
            "bad_header",
            f"{header.path} promises {header.n_samples} samples; its segments have {n_samples}.",
        )
    lead_header = find_lead_header(header)
    check_size(n_samples, len(lead_header.leads))
    pieces: list[tuple[int, WfdbRecord]] = []
    start = 0
    for segment in header.segments:
        if segment.name != GAP and segment.n_samples > 0:
            segment_header = _read_segment_header(header, segment)
            _check_segment(segment_header, header, segment, lead_header.leads)
            pieces.append((start, _read_one(segment_header, verify)))
        start += segment.n_samples
    return SegmentedRecord(header, lead_header, pieces)


def _check_segment(
    segment_header: Header, header: Header, segment: Segment, leads: tuple[str, ...]
) -> None:
    """Refuse a segment that differs from what the header of the whole record says."""
    found = {
        "segments": len(segment_header.segments),
        "samples": segment_header.n_samples,
        "Hz": segment_header.sampling_rate_hz,
    }
    expected = {"segments": 0, "samples": segment.n_samples, "Hz": header.sampling_rate_hz}
    # A first segment without samples lists the leads of all; the others each have some of them.
    may_lack_leads = header.segments[0].n_samples == 0
    if may_lack_leads:
        leads_fit = set(segment_header.leads) <= set(leads)
    else:
        leads_fit = segment_header.leads == leads
    if found != expected or not leads_fit:
        raise RecordError(
            "bad_header",
            f"{segment_header.path} has {found} and leads {list_leads(segment_header.leads)}; as a "
            f"segment of {header.path} it must have {expected} and "
            f"{'some of the' if may_lack_leads else 'the'} leads {list_leads(leads)}.",
        )


def _read_one(header: Header, verify: bool) -> WfdbRecord:
    digital = read_samples(header, verify)
    digital.flags.writeable = False
    return WfdbRecord(header, digital)


def _find_assumptions(name: str, record: WfdbRecord, columns: Sequence[int]) -> Iterator[Problem]:
    """Find what the header does not say and the manual of the format assumes."""
    header = record.header
    uncalibrated = [
        header.leads[column]
        for column in columns
        if not header.layout.codings[column].is_calibrated
    ]
    if uncalibrated:
        yield Problem(
            name,
            "assumed",
            f"No gain for {list_leads(uncalibrated)}: {DEFAULT_GAIN:g} steps per mV.",
        )
    if not header.has_rate:
        yield Problem(name, "assumed", f"No sampling rate: {DEFAULT_RATE_HZ:g} Hz.")


@lru_cache(maxsize=1024)
def _find_scales(layout: Layout, columns: tuple[int, ...]) -> tuple[Scale, ...]:
    """The scale of each column, or a single one if all are equal."""
    codings = [layout.codings[column] for column in columns]
    scales = [
        Scale(
            coding.baseline,
            find_mv_per_unit(coding.unit) / coding.gain,
            NOT_MEASURED[coding.format],
        )
        for coding in codings
    ]
    return tuple(scales[:1] if len(set(scales)) == 1 else scales)


def _convert_to_mv(digital: np.ndarray, scale: Scale, out: np.ndarray) -> None:
    """Write digital samples to `out` in mV, piece by piece."""
    n_rows = max(PIECE * len(digital) // digital.size, 1)
    for start in range(0, len(digital), n_rows):
        piece, mv = digital[start : start + n_rows], out[start : start + n_rows]
        np.subtract(piece, float(scale.baseline), out=mv)
        mv *= scale.mv_per_step
        if piece.min() == scale.not_measured:
            mv[piece == scale.not_measured] = np.nan
