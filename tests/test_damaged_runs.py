"""Run folders whose files were damaged, or changed by somebody who adapts the hashes as well."""

import json
import shutil

import pytest
from fuzzing import N_CASES, check_cases
from run_helpers import make_experiment
from studies import StudyFolder, write_experiment

from ecglib.errors import DamagedRunError, RunError
from ecglib.experiment import describe_environment
from ecglib.runs import EXPERIMENT, FILES, FORMAT, Run, write_description
from ecglib.runs.files import hash_values

pytestmark = pytest.mark.fuzz


@pytest.fixture
def run(tmp_path):
    return write_experiment(make_experiment(), StudyFolder(runs_dir=tmp_path))


def read_all(path):
    opened = Run(path)
    opened.verify()
    return opened.history, opened.predictions("test"), opened.caveats, opened.versions


@pytest.mark.parametrize("name", [*FILES[1:], "trees.json"])
def test_a_damaged_file_of_a_run_is_refused(run, name):
    """Unlike one that is read, any change of a byte is noticed."""
    file, content = run.path / name, (run.path / name).read_bytes()

    def read(damaged):
        file.write_bytes(damaged)
        if damaged != content:
            with pytest.raises(RunError) as caught:
                read_all(run.path)
            raise caught.value
        return read_all(run.path)

    check_cases(content, read, seed=len(name))


@pytest.mark.parametrize("name", FILES[1:])
def test_a_hostile_file_with_the_right_hash_is_read_or_refused(run, name):
    file = run.path / name

    def read(content):
        file.write_bytes(content)
        write_description(run.path, run.experiment, run.environment)
        return read_all(run.path)

    check_cases(file.read_bytes(), read, n_cases=N_CASES // 2, seed=len(name))


def test_a_hostile_description_with_the_right_hash_is_read_or_refused(run):
    file = run.path / EXPERIMENT

    def read(content):
        file.write_bytes(content)
        try:
            values = json.loads(content)
            values.pop("checksum", None)
            file.write_text(json.dumps(values | {"checksum": hash_values(values)}))
        except (ValueError, AttributeError, TypeError):
            pass  # no description at all
        return read_all(run.path)

    check_cases(file.read_bytes(), read, seed=3)


def test_a_run_of_another_format_is_not_damaged_but_refused(run):
    values = json.loads((run.path / EXPERIMENT).read_text())
    (run.path / EXPERIMENT).write_text(json.dumps(values | {"format": FORMAT - 1}))
    with pytest.raises(RunError, match=f"has format {FORMAT - 1}, this version") as caught:
        Run(run.path)
    assert not isinstance(caught.value, DamagedRunError)


def test_a_run_with_an_unknown_setting_is_of_another_version(run):
    values = json.loads((run.path / EXPERIMENT).read_text())
    values["experiment"]["attention_heads"] = 4
    values.pop("checksum")
    text = json.dumps(values | {"checksum": hash_values(values)})
    (run.path / EXPERIMENT).write_text(text)
    with pytest.raises(RunError, match=r"Unknown setting 'attention_heads'.*another version"):
        Run(run.path)


def test_another_environment_is_recorded_with_the_run(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    write_description(copy, run.experiment, describe_environment(threads=7))
    assert Run(copy).environment.describe_difference(run.environment) == "threads 7 against 1"
