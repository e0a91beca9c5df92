import ast
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import keras_steps, measure, memory, noise, training
from benchmarks.measure import Figure, Side, SkippedError, alternate
from benchmarks.worker import WorkerError, start_workers
from ecglib.datasets.writer import write_store
from ecglib.experiment.registry import ENCODERS


class Clock:
    """A clock that only moves when it is moved."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self):
        return self.now

    def side(self, name, seconds, n):
        """Return a side whose runs take these seconds, one after the other."""
        remaining = list(seconds)

        def run():
            self.calls.append(name)
            self.now += remaining.pop(0)

        return Side(run, n)


def make_figure(name, ratios, floor=2.0):
    return Figure(
        name=name,
        what="ours",
        against="theirs",
        floor=floor,
        ratios=ratios,
        detail={"ours, windows/s": 5.0},
    )


def test_sides_take_turns_and_the_first_run_of_each_is_not_counted():
    clock = Clock()
    # The second round is twice as slow for both, as on a shared machine.
    sides = {"a": clock.side("a", [99, 1, 2], 10), "b": clock.side("b", [99, 2, 4], 5)}
    speeds = alternate(sides, 2, clock=clock)
    assert clock.calls == ["a", "b", "a", "b", "a", "b"]
    assert speeds == {"a": [10.0, 5.0], "b": [2.5, 1.25]}
    assert measure.compute_ratios(speeds["a"], speeds["b"]) == [4.0, 4.0]


def test_a_figure_is_judged_by_the_median_of_its_rounds():
    assert make_figure("x", [1.0, 2.0, 90.0]).met
    assert not make_figure("x", [0.1, 1.9, 90.0]).met
    written = make_figure("x", [3.0, 1.0, 5.0, 4.0]).to_dict()
    assert written["ratio"] == 3.5
    assert written["rounds"] == {"n": 4, "min": 1.0, "median": 3.5, "max": 5.0}


def test_the_table_shows_what_was_missed_and_what_was_skipped():
    text = measure.format_table(
        [make_figure("m.good", [3.0]), make_figure("m.bad", [1.0])], {"m.none": "no data"}
    )
    assert "1 of 2 floors MISSED: m.bad (1, floor 2)" in text
    assert "skipped m.none: no data" in text
    assert "MISSED" not in measure.format_table([make_figure("m.good", [3.0])], {})


@pytest.fixture
def fake_figures(monkeypatch):
    def skip():
        raise SkippedError("no data at /nowhere")

    figures = {
        "one.fast": lambda: make_figure("one.fast", [3.0, 4.0, 2.5]),
        "one.slow": lambda: make_figure("one.slow", [1.0]),
        "two.none": skip,
    }
    monkeypatch.setattr(command, "FIGURES", figures)


@pytest.mark.usefixtures("fake_figures")
def test_the_report_has_machine_figures_and_skips_and_a_missed_floor_is_no_failure(
    tmp_path, capsys
):
    assert command.main([], tmp_path / "bench") == 0
    (path,) = (tmp_path / "bench").iterdir()
    report = json.loads(path.read_text())
    assert {"processor", "cores", "versions"} <= set(report["machine"])
    assert report["machine"]["versions"]["numpy"] == np.__version__
    fast, slow = report["figures"]
    assert fast == {
        "name": "one.fast",
        "what": "ours",
        "against": "theirs",
        "ratio": 3.0,
        "floor": 2.0,
        "met": True,
        "rounds": {"n": 3, "min": 2.5, "median": 3.0, "max": 4.0},
        "detail": {"ours, windows/s": 5.0},
    }
    assert not slow["met"]
    assert report["skipped"] == {"two.none": "no data at /nowhere"}
    assert "1 of 2 floors MISSED: one.slow" in capsys.readouterr().out


@pytest.mark.usefixtures("fake_figures")
@pytest.mark.parametrize(
    ("name", "expected"), [("one", ["one.fast", "one.slow"]), ("one.slow", ["one.slow"])]
)
def test_a_module_or_one_figure_can_be_chosen(tmp_path, name, expected):
    assert command.choose_figures(name) == expected


@pytest.mark.usefixtures("fake_figures")
def test_an_unknown_name_is_refused_with_the_choices_and_writes_nothing(tmp_path, capsys):
    assert command.main(["three"], tmp_path / "bench") == 2
    message = capsys.readouterr().err
    assert "'three'" in message
    assert all(name in message for name in ("one", "two", "one.fast", "two.none"))
    assert not (tmp_path / "bench").exists()


def test_a_report_that_cannot_be_written_leaves_no_partial_file(tmp_path):
    with pytest.raises(TypeError):
        command.write_report({"figures": object()}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_list_names_every_figure_without_importing_tensorflow():
    code = (
        "import sys; from benchmarks.__main__ import main; main(['--list']);"
        "sys.exit('tensorflow' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=noise.ROOT, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    lines = ran.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == list(command.FIGURES)
    assert all(len(line.split()) > 3 for line in lines)


def test_a_figure_without_its_data_is_skipped_and_says_where_data_is_expected(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("ECG_SHARED_DATA", str(tmp_path))
    with pytest.raises(SkippedError, match=r"mitdb.*ECG_SHARED_DATA"):
        command.FIGURES["prepare.mitdb"]()


def test_noise_is_prepared_as_a_store_of_distinct_windows(tmp_path):
    dataset = write_store(noise.NoiseSource(6, 200, n_windows=3), tmp_path, progress=False)
    assert len(dataset.windows) == 18
    assert dataset.windows["signal_hash"].nunique() == 18
    assert dataset.read([0, 17]).shape == (2, 200, len(noise.LEADS))
    assert dataset.summary["near_identical_records"] == []


def allocate(size_mb, seconds=0.05):
    def work():
        array = np.ones(size_mb * 2**17)
        memory.threading.Event().wait(seconds)
        del array

    return memory.measure_extra_mb(work)


@pytest.mark.skipif(not memory.STATUS.exists(), reason="memory is read from /proc")
def test_memory_that_is_freed_again_counts_and_each_size_has_a_new_process():
    peaks = memory.measure_peaks_mb(allocate, [20, 80], 1, "test", 0.1)
    assert peaks[20] == [pytest.approx(20, abs=3)]
    assert peaks[80] == [pytest.approx(80, abs=3)]


def test_without_proc_memory_figures_are_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "STATUS", tmp_path / "absent")
    with pytest.raises(SkippedError, match="absent"):
        memory.measure_peaks_mb(allocate, [1], 1, "test")


WORKER = """
import sys
from benchmarks.worker import serve

def fail():
    raise ValueError("the work went wrong")

serve({"write": lambda: print("words", file=sys.stderr), "talk": lambda: print("talk"),
       "fail": fail}, parameters=7)
"""


def test_a_worker_answers_when_it_is_done_and_what_it_prints_is_no_answer():
    with start_workers({"a": [sys.executable, "-c", WORKER]}, noise.ROOT) as workers:
        assert workers["a"].facts == {"parameters": "7"}
        # More than fits into a pipe.
        workers["a"].work("write", 50_000)
        workers["a"].work("talk", 2)
        assert workers["a"].count_repetitions("talk") > 2


def test_the_error_of_a_failed_worker_has_its_last_output():
    with (
        pytest.raises(WorkerError, match="the work went wrong"),
        start_workers({"a": [sys.executable, "-c", WORKER]}, noise.ROOT) as workers,
    ):
        workers["a"].work("fail", 1)


def test_without_pytorch_a_twin_is_skipped_and_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "TORCH", tmp_path / "absent")
    with pytest.raises(SkippedError, match=r"make \.venv-backends/ready"):
        command.FIGURES["training.resnet1d"]()


def read_twins():
    """Read the names of the twins from the source, which cannot be imported without PyTorch."""
    source = (noise.ROOT / "benchmarks" / "torch_twins.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TWINS":
            return {
                representation.value: [encoder.value for encoder in twins.keys]
                for representation, twins in zip(node.value.keys, node.value.values, strict=True)
            }
    raise AssertionError("torch_twins has no TWINS")


def test_every_encoder_that_is_trained_has_a_twin():
    twins = read_twins()
    assert {*twins["time"], "random"} == set(ENCODERS["time"])
    assert set(twins["spectrogram"]) == set(ENCODERS["spectrogram"])
    assert {name: set(encoders) for name, encoders in training.TWINS.items()} == {
        name: set(encoders) for name, encoders in twins.items()
    }


TWIN_COUNTS = """
import json
from benchmarks import torch_twins

counts = {}
for representation, encoders in torch_twins.TWINS.items():
    for encoder in encoders:
        parameters = torch_twins.build(representation, encoder).parameters()
        counts[f"{representation} {encoder}"] = sum(
            p.numel() for p in parameters if p.requires_grad
        )
print(json.dumps([torch_twins.SHAPES, counts]))
"""


@pytest.mark.skipif(not training.TORCH.exists(), reason="make .venv-backends/ready for PyTorch")
def test_twins_take_the_same_representations_and_have_as_many_parameters():
    code = [str(training.TORCH), "-c", TWIN_COUNTS]
    ran = subprocess.run(code, cwd=noise.ROOT, capture_output=True, check=True)
    shapes, counts = json.loads(ran.stdout)
    for representation, (leads, *rest) in shapes.items():
        assert keras_steps.compute_shape(representation) == (*rest, leads)
    for name, count in counts.items():
        weights = keras_steps.build_branch(*name.split()).trainable_weights
        assert count == sum(int(np.prod(weight.shape)) for weight in weights), name
