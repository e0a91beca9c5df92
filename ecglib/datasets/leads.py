"""Names of leads: one spelling for each, and finding them in a record whatever it calls them."""

import functools
import re
from collections.abc import Sequence

from ecglib.errors import RecordError, did_you_mean

STANDARD_12 = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
MODIFIED_LIMB = {"MLI": "I", "MLII": "II", "MLIII": "III"}

# What may stand before a name: "Lead II", "ECG V1", "MDC_ECG_LEAD_AVR". A minus after a blank is
# a sign: -aVR is another lead.
_BEFORE = re.compile(r"\A(?:(?:MDC_ECG_(?:LEAD|ELEC_POTL)|ECG|EKG|LEAD)(?:-|[\s_:.]*))+", re.I)
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
def canonical(name: str | None) -> str:
    """This package's spelling of a lead's name; a name that is not known only loses its blanks.

    Known are the standard twelve, written as in `STANDARD_12`; V7 to V9 and the right-sided V1R to
    V9R; the modified limb leads MLI, MLII and MLIII, which are not I, II and III; Frank's X, Y and
    Z (also vx, vy, vz); and ECG, one lead that nobody named. Capitals, blanks, a dot at the end, a
    D before a limb lead (DII, D2) and words before the name ("Lead II", "ECG II",
    "MDC_ECG_LEAD_II") make no difference.
    """
    given = (name or "").strip()
    keys = (_BLANKS.sub("", text).rstrip(".").upper() for text in (given, _BEFORE.sub("", given)))
    return next((_SPELLINGS[key] for key in keys if key in _SPELLINGS), given)


def in_standard_order(found: Sequence[str]) -> tuple[str, ...]:
    """The names of `found` in this package's spelling: the standard leads first, in their order.

    The others follow in the order given. `match` finds each of them in `found`.
    """
    names = [canonical(name) for name in found]
    others = [name for name in names if name not in STANDARD_12]
    return (*sorted((n for n in names if n in STANDARD_12), key=STANDARD_12.index), *others)


def match(wanted: Sequence[str], found: Sequence[str]) -> tuple[int, ...]:
    """The columns of a record that hold the leads that are wanted, in their order.

    The very name is preferred to another spelling of it (`canonical`), and that to a modified limb
    lead: MLII serves for II where there is no II, and II for MLII. No column is given twice.

    Parameters
    ----------
    wanted
        names of leads.
    found
        the name of each column.

    Raises
    ------
    RecordError
        a lead is in no column (``missing_lead``) or in more than one (``ambiguous_lead``).
    """
    return _match(tuple(wanted), tuple(found))


@functools.lru_cache(maxsize=4096)
def _match(wanted: tuple[str, ...], found: tuple[str, ...]) -> tuple[int, ...]:
    columns: dict[int, int] = {}  # place in `wanted`: column
    for spelling in (_as_given, canonical, _limb):
        names = [spelling(name) for name in found]
        for place, lead in enumerate(wanted):
            if place in columns:
                continue
            fitting = [
                column
                for column, name in enumerate(names)
                if name == spelling(lead) and column not in columns.values()
            ]
            if len(fitting) > 1:
                raise RecordError(
                    "ambiguous_lead",
                    f"Lead {lead!r} is wanted, and {len(fitting)} columns may be it: "
                    f"{[found[c] for c in fitting]} of {list(found)}. Name the column that is "
                    f"meant by its very name, or rename the other.",
                )
            if fitting:
                columns[place] = fitting[0]
    if missing := [lead for place, lead in enumerate(wanted) if place not in columns]:
        raise RecordError("missing_lead", _what_is_missing(missing, wanted, found))
    return tuple(columns[place] for place in range(len(wanted)))


def _as_given(name: str | None) -> str:
    return name or ""


def _limb(name: str | None) -> str:
    return MODIFIED_LIMB.get(canonical(name), canonical(name))


def _what_is_missing(missing: list[str], wanted: Sequence[str], found: Sequence[str | None]) -> str:
    strange = [name for name in found if name and not _is_known(name)]
    # A name that is known is no misspelling of another one that is.
    hints = (did_you_mean(m, strange if _is_known(m) else filter(None, found)) for m in missing)
    return (
        f"Leads {missing} are wanted (of {list(wanted)}), the record has {list(found)}."
        f"{next(filter(None, hints), '')} Leave the record out, ask for leads that it has, or "
        f"rename its columns."
    )


def _is_known(name: str) -> bool:
    return canonical(name) in _SPELLINGS.values()
