"""Finding runs and batches on disk."""

import os

import pytest
from studies import StudyFolder, write_study

from ecglib.errors import RunError
from ecglib.evaluation.simulation import StudySettings
from ecglib.runs import find_newest_batch, open_run

SMALL = StudySettings(n_patients=10, n_validation_patients=10, n_seeds=1, n_fusions=1)


def write_batch(runs_dir, name, modified, has_report):
    folder = write_study(SMALL, StudyFolder(runs_dir=runs_dir, batch=name))
    for metrics in folder.glob("*/metrics.json"):
        os.utime(metrics, (modified, modified))
    if has_report:
        (folder / "report.html").write_text("a report")
    return folder


def test_the_newest_batch_is_the_newest_with_a_report(tmp_path):
    write_batch(tmp_path, "old", modified=1_000, has_report=True)
    newest = write_batch(tmp_path, "new", modified=2_000, has_report=True)
    explored = write_batch(tmp_path, "explore", modified=3_000, has_report=False)
    assert find_newest_batch(tmp_path) == newest
    assert open_run("", tmp_path).path.parent == explored


def test_without_any_report_the_newest_folder_is_taken(tmp_path):
    write_batch(tmp_path, "old", modified=1_000, has_report=False)
    explored = write_batch(tmp_path, "explore", modified=3_000, has_report=False)
    assert find_newest_batch(tmp_path) == explored


def test_without_runs_there_is_no_batch(tmp_path):
    with pytest.raises(RunError, match="No finished run below"):
        find_newest_batch(tmp_path)


def test_a_run_of_two_batches_is_opened_by_batch_and_name(tmp_path):
    explored = write_batch(tmp_path, "explore", modified=1_000, has_report=False)
    write_batch(tmp_path, "study", modified=2_000, has_report=False)
    name = sorted(path.parent.name for path in explored.glob("*/metrics.json"))[0]
    with pytest.raises(RunError, match=f"explore/{name}, study/{name}.*BATCH/RUN"):
        open_run(name, tmp_path)
    assert open_run(f"explore/{name}", tmp_path).path == explored / name
