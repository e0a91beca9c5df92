"""Options of sources: each wrong value is one sentence, whatever the option."""

import importlib
import math
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from ecglib import datasets
from ecglib.cli.commands import main
from ecglib.datasets.catalog import SOURCES
from ecglib.datasets.options import Accepted, convert_value, list_options
from ecglib.errors import DatasetError


def list_source_options():
    """List every option of every source with its type."""
    for name, known in SOURCES.items():
        module = importlib.import_module(f"ecglib.datasets.sources.{known.module}")
        opener = getattr(module, known.options_class or known.opener)
        options = list_options(opener)
        if known.needs_files and not known.options_class:
            options.pop(next(iter(options)))  # the path
        for option, (_, kind) in options.items():
            if option not in known.settings:
                yield name, option, kind


OPTIONS = list(list_source_options())
REQUIRED = {
    "arrays": {"labels": "l.csv", "sampling_rate_hz": 100.0, "leads": ["I"], "unit": "mV"},
    "csv_folder": {"labels": "l.csv", "sampling_rate_hz": 100.0, "unit": "mV"},
    "edf_folder": {"labels": "l.csv"},
}


def list_wrong_values(kind):
    """Values that an option of this type must refuse, as YAML writes them."""
    accepted = next((one for one in getattr(kind, "__metadata__", ()) if one), Accepted())
    bare = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
    values = ["null", "2026-01-02", "{a: b}"]
    if bare is int:
        values += ["1.5", "ten", "true", "99999999999999999999", ".nan", "[1]"]
    elif bare is float:
        values += ["10s", "true", ".nan", ".inf", "-.inf", "[1.0]"]
    elif bare is bool:
        values += ["1", "ja"]
    elif bare is str or bare == str | Path:
        values += ["3", "true", "[a]"]
    elif typing.get_origin(bare) in (Sequence, tuple, list):
        values += ["II", "3", "[1, 2]", "[no]"]
    elif typing.get_origin(bare) is Mapping:
        values = ["null", "2026-01-02", "[a]", "3"]
    else:
        raise AssertionError(f"no wrong values are known for {kind}")
    for bound, step in ((accepted.minimum, -1), (accepted.maximum, 1), (accepted.above, 0)):
        if bound is not None:
            values.append(str(bound + step))
    if accepted.choices:
        values.append("multiclass")
    return values


@pytest.mark.parametrize(("source", "option", "kind"), OPTIONS)
def test_every_wrong_value_of_every_option_is_one_sentence(
    source, option, kind, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("ECGLIB_DATA", str(tmp_path / "data"))
    folder = [] if not SOURCES[source].needs_files else [str(tmp_path)]
    others = REQUIRED.get(source, {})
    others = [
        f"{name}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
        for name, value in others.items()
        if name != option
    ]
    for value in list_wrong_values(kind):
        command = ["prepare", source, *folder]
        for assignment in [*others, f"{option}={value}"]:
            command += ["--set", assignment]
        assert main(command) == 2, value
        error = capsys.readouterr().err
        assert error.startswith(f"ecglib: {option}="), (value, error)
        assert re.search("expected|must be|must hold", error), error
        assert len(error.splitlines()) == 1
        assert len(error) < 400


def test_the_right_spelling_is_named():
    with pytest.raises(DatasetError, match="Did you mean 'multi_class'"):
        datasets.open_source("wfdb_folder", "data", ".", {"kind": "multiclass"})
    with pytest.raises(DatasetError, match=r"leads='II' is str, expected a list.*\[I, II\]"):
        datasets.open_source("wfdb_folder", "data", ".", {"leads": "II"})
    with pytest.raises(DatasetError, match=r"no option 'widow_s'.*Did you mean 'window_s'"):
        datasets.open_source("wfdb_folder", "data", ".", {"widow_s": 10})


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (float, 3, 3.0),
        (tuple[str, ...], ["I", "II"], ("I", "II")),
        (tuple[float, float], [0, 40.0], (0.0, 40.0)),
        (Sequence[str], ["I"], ("I",)),
        (str | Path, Path("a.csv"), Path("a.csv")),
        (str | None, None, None),
        (Mapping[str, float], {"age": 63}, {"age": 63.0}),
        (dict[str, dict[str, typing.Any]], {"time": {"a": [1]}}, {"time": {"a": [1]}}),
        (dict, {"a": {"b": None}}, {"a": {"b": None}}),
    ],
)
def test_right_values_become_the_type_of_their_field(kind, given, expected):
    converted = convert_value("x", given, kind)
    assert converted == expected
    assert type(converted) is type(expected)


def test_bounds_include_or_exclude_their_ends():
    accepted = Accepted(minimum=0, below=1)
    assert convert_value("x", 0, float, accepted) == 0.0
    assert convert_value("x", math.nextafter(1, 0), float, accepted) < 1
    for value in (1.0, -1e-300):
        with pytest.raises(DatasetError, match="must be at least 0 and below 1"):
            convert_value("x", value, float, accepted)


def test_a_long_value_does_not_make_a_long_message():
    with pytest.raises(DatasetError) as raised:
        convert_value("x", "y" * 60_000, int)
    assert len(str(raised.value)) < 200
    circle: dict = {}
    circle["a"] = circle
    with pytest.raises(DatasetError, match="nested") as raised:
        convert_value("x", circle, dict)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("kind", [int, float])
def test_a_number_of_400_digits_is_refused(kind):
    with pytest.raises(DatasetError, match=r"size=10+\.\.\.0+ must be a"):
        convert_value("size", 10**400, kind)
