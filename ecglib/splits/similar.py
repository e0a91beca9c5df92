"""Identifiers that differ only in how they are written."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
BLANKS = re.compile(r"\s+")


def simplify_id(text: str) -> str:
    """Reduce an identifier to what is the same in all its spellings.

    Parameters
    ----------
    text : str
        An identifier of a patient or a record.

    Returns
    -------
    str
        Without blanks and leading zeros of its numbers, in lower case and in one unicode form.

    Examples
    --------
    >>> simplify_id("P 007"), simplify_id("p7"), simplify_id("P70")
    ('p7', 'p7', 'p70')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return LEADING_ZEROS.sub("", BLANKS.sub("", folded))


def find_similar_ids(ids: Iterable[str]) -> list[list[str]]:
    """Find identifiers that differ only in case, blanks, unicode form or leading zeros.

    Parameters
    ----------
    ids : iterable of str
        Identifiers; each counts once.

    Returns
    -------
    list of list of str
        The groups of two or more, sorted.

    Examples
    --------
    >>> find_similar_ids(["P7", "p 07", "P8", "P7"])
    [['P7', 'p 07']]
    """
    groups: dict[str, set[str]] = {}
    for text in ids:
        groups.setdefault(simplify_id(text), set()).add(text)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def describe_similar_ids(group: Sequence[str]) -> str:
    """Describe a group for people: the identifiers with quotes, so that blanks can be seen.

    Parameters
    ----------
    group : sequence of str
        Identifiers that differ only in how they are written.

    Returns
    -------
    str
        At most five of them.

    Examples
    --------
    >>> describe_similar_ids(["P7", "p 07"])
    "'P7', 'p 07'"
    """
    more = f" and {len(group) - 5} more" if len(group) > 5 else ""
    return ", ".join(repr(text) for text in group[:5]) + more
