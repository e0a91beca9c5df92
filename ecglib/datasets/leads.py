"""Names of leads: one spelling for each, and finding leads in a record by name."""

import functools
import re
from collections.abc import Callable, Sequence

from ecglib.errors import RecordError, did_you_mean

STANDARD_12 = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
MAX_LISTED, MAX_SHOWN = 20, 40  # names in a message, characters of each
MODIFIED_LIMB = {"MLI": "I", "MLII": "II", "MLIII": "III"}

# Prefixes such as in "Lead II", "ECG V1" and "MDC_ECG_LEAD_AVR". A minus after a blank is a sign:
# -aVR is another lead.
_PREFIX = re.compile(r"\A(?:(?:MDC_ECG_(?:LEAD|ELEC_POTL)|ECG|EKG|LEAD)(?:-|[\s_:.]*))+", re.I)
_BLANKS = re.compile(r"[\s_]+")
_LIMB = (("I", 1), ("II", 2), ("III", 3))
_SPELLINGS = {
    **{name.upper(): name for name in STANDARD_12},
    **{name: name for name in (*MODIFIED_LIMB, "ECG")},
    **{f"V{i}{side}": f"V{i}{side}" for i in range(1, 10) for side in ("", "R")},
    **{f"D{key}": name for name, number in _LIMB for key in (name, number)},
    **{f"{v}{axis}": axis for axis in "XYZ" for v in ("", "V")},
    "EKG": "ECG",
}


@functools.lru_cache(maxsize=1024)
def canonicalize(name: str | None) -> str:
    """Return this package's spelling of the name of a lead.

    Parameters
    ----------
    name : str or None
        Name of a lead. Case, blanks, a dot at the end, a D before a limb lead (DII, D2) and
        prefixes ("Lead II", "ECG II", "MDC_ECG_LEAD_II") make no difference.

    Returns
    -------
    str
        The canonical name; an unknown name only loses blanks at its ends; None becomes "".

    Notes
    -----
    Known are the standard twelve, written as in `STANDARD_12`; V7 to V9 and the right-sided V1R to
    V9R; the modified limb leads MLI, MLII and MLIII, which are not I, II and III; Frank's X, Y and
    Z (also vx, vy, vz); and ECG, a single lead without a name.

    Examples
    --------
    >>> [canonicalize(name) for name in ("Lead avr", "D2", "PLETH ")]
    ['aVR', 'II', 'PLETH']
    """
    given = (name or "").strip()
    keys = (_BLANKS.sub("", text).rstrip(".").upper() for text in (given, _PREFIX.sub("", given)))
    return next((_SPELLINGS[key] for key in keys if key in _SPELLINGS), given)


def sort_leads(found: Sequence[str]) -> tuple[str, ...]:
    """Sort leads: the standard twelve first, in their order, then the others as given.

    Parameters
    ----------
    found : sequence of str
        Names of the leads of a record.

    Returns
    -------
    tuple of str
        The canonical names; `match_leads` finds each of them in `found`.

    Examples
    --------
    >>> sort_leads(["RESP", "AVF", "avl", "I"])
    ('I', 'aVL', 'aVF', 'RESP')
    """
    names = [canonicalize(name) for name in found]
    others = [name for name in names if name not in STANDARD_12]
    return (*sorted((n for n in names if n in STANDARD_12), key=STANDARD_12.index), *others)


def list_leads(names: Sequence[str]) -> str:
    """List names of leads for a message, at most `MAX_LISTED` of them.

    Parameters
    ----------
    names : sequence of str
        The names.

    Examples
    --------
    >>> list_leads(["I", "II"])
    "['I', 'II']"
    >>> list_leads([f"channel {i}" for i in range(300)])[-31:]
    "'channel 19', ... (300 in all)]"
    """
    shown = ", ".join(repr(name[:MAX_SHOWN]) for name in names[:MAX_LISTED])
    return f"[{shown}]" if len(names) <= MAX_LISTED else f"[{shown}, ... ({len(names)} in all)]"


def match_leads(wanted: Sequence[str], found: Sequence[str]) -> tuple[int, ...]:
    """Find the columns of a record that hold the wanted leads.

    An exact match is preferred to another spelling of the name (`canonicalize`), and that to a
    modified limb lead: MLII serves for II where there is no II, and II for MLII. No column is used
    twice.

    Parameters
    ----------
    wanted : sequence of str
        Names of the leads to find.
    found : sequence of str
        Name of each column of the record.

    Returns
    -------
    tuple of int
        The column of each wanted lead.

    Raises
    ------
    RecordError
        If a lead is in no column (``missing_lead``) or in several (``ambiguous_lead``).

    Examples
    --------
    >>> match_leads(["I", "II"], ["V5", "lead I", "MLII"])
    (1, 2)
    """
    return _match_leads(tuple(wanted), tuple(found))


@functools.lru_cache(maxsize=4096)
def _match_leads(wanted: tuple[str, ...], found: tuple[str, ...]) -> tuple[int, ...]:
    columns: dict[int, int] = {}  # place in `wanted`: column
    spellings: tuple[Callable[[str | None], str], ...] = (_as_given, canonicalize, _to_limb_lead)
    for spell in spellings:
        names = [spell(name) for name in found]
        for place, lead in enumerate(wanted):
            if place in columns:
                continue
            candidates = [
                column
                for column, name in enumerate(names)
                if name == spell(lead) and column not in columns.values()
            ]
            if len(candidates) > 1:
                raise RecordError(
                    "ambiguous_lead",
                    f"{len(candidates)} columns match lead {lead!r}: columns "
                    f"{', '.join(str(c + 1) for c in candidates[:MAX_LISTED])}, named "
                    f"{list_leads([found[c] for c in candidates])}. Ask for one of them by its "
                    f"exact name or by its column (--lead-column, or lead_columns), or rename the "
                    f"others.",
                )
            if candidates:
                columns[place] = candidates[0]
    if missing := [lead for place, lead in enumerate(wanted) if place not in columns]:
        raise RecordError("missing_lead", _describe_missing(missing, wanted, found))
    return tuple(columns[place] for place in range(len(wanted)))


def _as_given(name: str | None) -> str:
    return name or ""


def _to_limb_lead(name: str | None) -> str:
    return MODIFIED_LIMB.get(canonicalize(name), canonicalize(name))


def _describe_missing(
    missing: Sequence[str], wanted: Sequence[str], found: Sequence[str | None]
) -> str:
    """Say which leads are missing, with a near name that is not itself a known lead."""
    named = [name for name in found if name]
    unknown = [name for name in named if not _is_known(name)]
    hints = (did_you_mean(lead, unknown if _is_known(lead) else named) for lead in missing)
    return (
        f"Leads {list_leads(missing)} (of {list_leads(wanted)}) are missing; the record has "
        f"{list_leads([name or '' for name in found])}."
        f"{next(filter(None, hints), '')} Leave the record out, ask for leads that it has, or "
        f"rename its columns."
    )


def _is_known(name: str) -> bool:
    return canonicalize(name) in _SPELLINGS.values()
