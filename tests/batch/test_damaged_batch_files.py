"""Batch files that were damaged, and what a batch records of itself."""

import pytest
from fuzzing import check_cases

from ecglib.batch.file import BatchFile
from ecglib.batch.state import Grid, read_grids, read_settings, record_grid, record_settings
from ecglib.errors import RunError
from ecglib.evaluation.verdict import ComparisonSettings

pytestmark = pytest.mark.fuzz


@pytest.mark.parametrize("options", [{}, {"seed": 3, "n_folds": 3}])
def test_a_damaged_batch_file_is_read_or_refused(write_batch_file, tmp_path, options):
    (tmp_path / "groups.yaml").write_text("short: {epochs: 2}")
    path = write_batch_file(
        tmp_path,
        metric="f1",
        margin=0.02,
        time_limit_s=60,
        use=["short"],
        exclude=[{"seed": 0, "fusion": "late_average"}],
        include=[{"seed": [1, 2]}],
    )

    def read(content):
        path.write_bytes(content)
        return BatchFile.read(path, **options).list_parameters()

    check_cases(path.read_bytes(), read, seed=len(options))


def test_a_damaged_record_of_a_batch_is_read_or_refused(tmp_path):
    record_settings(tmp_path, ComparisonSettings(metric="f1"))
    record_grid(tmp_path, Grid(runs=("a", "b"), controls=("2x_a",)))
    path = tmp_path / "batch.json"

    def read(content):
        path.write_bytes(content)
        return read_settings(tmp_path), read_grids(tmp_path)

    check_cases(path.read_bytes(), read, seed=5)


@pytest.mark.parametrize("text", ["", "[1]", '{"grids": 3}', '{"comparison": {"metric": "no"}}'])
def test_a_record_that_cannot_be_read_is_named(tmp_path, text):
    (tmp_path / "batch.json").write_text(text)
    with pytest.raises(RunError, match=r"batch\.json is damaged.*no run is lost"):
        (read_settings(tmp_path), read_grids(tmp_path))
