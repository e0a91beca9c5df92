from benchmarks import verdict_check
from benchmarks.verdict_check import Cell, format_tables, judge_study, list_cells, run_cells
from ecglib.evaluation.simulation import StudySettings

SMALL = StudySettings(n_patients=60, n_validation_patients=40, n_seeds=2, n_fusions=1)


def make_cell(**changes):
    values = {
        "table": "Coverage",
        "name": "60 patients",
        "study": SMALL,
        "rate": "coverage",
        "low": 0.0,
        "high": 1.0,
    }
    return Cell(**(values | changes))


def test_a_rate_is_the_mean_over_the_studies_of_its_situation():
    cells = [make_cell(), make_cell(table="False alarms", rate="any adds")]
    lines = []
    rates = run_cells(cells, n_studies=6, n_workers=1, report=lines.append)
    judged = [judge_study(SMALL, "auroc", seed) for seed in range(6)]
    assert rates[cells[0]] == sum(one["coverage"] for one in judged) / 6
    assert rates[cells[1]] == 0  # two seeds are too few for a verdict
    assert len(lines) == 2


def test_a_study_that_cannot_be_measured_is_not_counted_as_a_miss():
    study = StudySettings(
        n_patients=6, windows="unequal", n_seeds=1, n_fusions=1, has_controls=False
    )
    judged = [judge_study(study, "auroc", seed) for seed in range(30)]
    unmeasured = [one for one in judged if one["not measured"]]
    assert unmeasured
    assert all(one["coverage"] != one["coverage"] for one in unmeasured)


def test_the_tables_mark_a_rate_outside_of_its_range():
    inside, outside, near = (make_cell(name=name, low=0.9) for name in ("a", "b", "c"))
    text = format_tables({inside: 0.95, outside: 0.8, near: 0.89}, n_studies=1000)
    assert "| a | 95.0% | 90.0% - 100.0% |  |" in text
    assert "| b | 80.0% | 90.0% - 100.0% | outside |" in text
    assert "| c | 89.0% | 90.0% - 100.0% | within error |" in text  # 86.9 to 90.8 %


def test_every_situation_counts_a_rate_that_is_judged():
    known = judge_study(SMALL, "auroc", 0)
    assert {cell.rate for cell in list_cells()} <= set(known)


def test_the_command_writes_its_tables_and_fails_if_a_rate_is_outside(tmp_path, monkeypatch):
    cells = [make_cell(rate="any adds"), make_cell(name="never", rate="any adds", low=0.9)]
    monkeypatch.setattr(verdict_check, "list_cells", lambda: cells)
    path = tmp_path / "check.md"
    monkeypatch.setattr("sys.argv", ["verdict_check", "--studies", "4", "--to", str(path)])
    assert verdict_check.main() == 1
    assert path.read_text().startswith("# Error rates of verdicts")
