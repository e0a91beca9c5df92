"""Label tables: read them, parse their labels and columns, filter them, match names of records."""

from ecglib.datasets.tables.columns import (
    OtherColumns,
    convert_known_columns,
    convert_to_ids,
    convert_to_text,
    find_other_columns,
    parse_age,
    parse_sex,
)
from ecglib.datasets.tables.conditions import filter_table
from ecglib.datasets.tables.files import read_label_table
from ecglib.datasets.tables.label_text import parse_label_column, parse_labels
from ecglib.datasets.tables.names import (
    MatchedNames,
    match_names,
    require_matches,
    separate_missing,
)

__all__ = [
    "MatchedNames",
    "OtherColumns",
    "convert_known_columns",
    "convert_to_ids",
    "convert_to_text",
    "filter_table",
    "find_other_columns",
    "match_names",
    "parse_age",
    "parse_label_column",
    "parse_labels",
    "parse_sex",
    "read_label_table",
    "require_matches",
    "separate_missing",
]
