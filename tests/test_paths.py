import json
import os
from pathlib import Path

import pytest

from ecglib import paths


def test_a_given_folder_precedes_the_variable_and_that_the_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("ECGLIB_DATA", raising=False)
    checkout = Path(__file__).parents[1]
    assert paths.data_dir() == checkout / "data"
    monkeypatch.setenv("ECGLIB_DATA", str(tmp_path))
    assert paths.data_dir() == tmp_path
    assert paths.data_dir("here") == Path("here")


def test_a_temporary_folder_is_visible_once_it_is_renamed(tmp_path):
    with paths.make_temporary_folder(tmp_path, "x") as folder:
        (folder / "file").write_text("all")
        assert not (tmp_path / "finished").exists()
        folder.rename(tmp_path / "finished")
    assert [path.name for path in tmp_path.iterdir()] == ["finished"]


def interrupt_writing(parent):
    with paths.make_temporary_folder(parent, "x") as folder:
        (folder / "file").write_text("half")
        raise KeyboardInterrupt


def test_a_folder_that_was_not_renamed_is_removed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupt_writing(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_old_leftovers_are_removed(tmp_path):
    old, young = tmp_path / ".a-1.unfinished", tmp_path / ".b-2.unfinished"
    old.mkdir()
    young.mkdir()
    os.utime(old, (0, 0))
    with paths.make_temporary_folder(tmp_path, "x"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [young.name]


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "values.json"
    paths.write_json(path, {"a": [1, 2]})
    assert json.loads(path.read_text()) == {"a": [1, 2]}
    assert path.read_text().endswith("}\n")
    with pytest.raises(TypeError):
        paths.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": [1, 2]}
    assert list(path.parent.iterdir()) == [path]
