"""The sizes of widened branches; test_scheduling carries the controls out."""

from pathlib import Path

from ecglib import runs
from ecglib.batch import controls
from ecglib.batch.jobs import Job
from ecglib.experiment import Experiment


def test_one_widened_branch_serves_all_fusions_of_about_one_size(monkeypatch):
    sizes = {"single": 90, "a": 100, "b": 120, "c": 150, "d": 160, "e": 200, "f": 201, "g": 300}
    dataset = {"dataset": "d", "fingerprint": "f", "task": "t"}
    single = Experiment.from_flat(dataset | {"branches": {"time": "cnn"}})
    branches = {"time": "cnn", "frequency": "cnn"}
    fusion = Experiment.from_flat(dataset | {"branches": branches, "fusion": "late_average"})
    jobs = [
        Job(
            experiment=single if name == "single" else fusion,
            parameters={},
            notebook_parameters={},
            path=Path(name),
        )
        for name in sizes
    ]
    monkeypatch.setattr(runs, "run_exists", lambda path: path.name != "g")  # which failed
    monkeypatch.setattr(controls, "_count_parameters", lambda job: sizes[job.path.name])
    assert controls.choose_sizes(jobs, min_parameters=40) == [201, 160, 120]
    assert controls.choose_sizes(jobs, min_parameters=100) == [201, 160]
    assert controls.choose_sizes(jobs, min_parameters=500) == []
