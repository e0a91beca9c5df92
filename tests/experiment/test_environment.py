"""The hash of the code that decides a result."""

import shutil
import subprocess

import pytest

from ecglib.experiment import environment
from ecglib.experiment.environment import DECIDING_CODE, PACKAGE, describe_environment, hash_code


@pytest.fixture
def package(tmp_path):
    """A copy of the package that may be changed."""
    folder = tmp_path / "ecglib"
    for place in DECIDING_CODE:
        source, copy = PACKAGE / place, folder / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    return folder


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_code_that_decides_a_result_changes_the_hash(package):
    before = hash_code(package)
    assert before == hash_code()
    change(package / "training" / "trainer.py", "N_SCALING_WINDOWS", "N_WINDOWS")
    hash_code.cache_clear()
    assert hash_code(package) != before


def test_comments_docstrings_and_formatting_do_not(package):
    before = hash_code(package)
    file = package / "training" / "trainer.py"
    change(file, '"""Trains the networks', '"""Fits the networks')
    change(file, "import dataclasses", "# a comment\n\n\nimport dataclasses  # another")
    hash_code.cache_clear()
    assert hash_code(package) == before


def test_the_commit_is_that_of_the_checkout():
    checkout = PACKAGE.parent
    if not (checkout / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "-C", str(checkout), "log", "-1", "--format=%H"]
    environment._read_commit.cache_clear()
    expected = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert describe_environment(threads=1).commit == expected


@pytest.mark.parametrize("values", [{}, {"code": 1, "commit": "", "threads": 1, "versions": {}}])
def test_values_that_are_no_environment_are_refused(values):
    with pytest.raises((TypeError, ValueError)):
        environment.Environment.from_dict(values)
