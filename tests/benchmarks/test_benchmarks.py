import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import keras_steps, measure, memory, noise, training
from benchmarks.measure import Figure, Side, SkippedError, alternate
from benchmarks.worker import WorkerError, workers
from ecglib.datasets.writer import write_store


class Clock:
    """Stands still unless something moves it."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self):
        return self.now

    def side(self, name, seconds, n):
        """A side whose runs take these seconds, one after the other."""
        left = list(seconds)

        def run():
            self.calls.append(name)
            self.now += left.pop(0)

        return Side(run, n)


def figure(name, ratios, floor=2.0):
    return Figure(name, "ours", "theirs", floor, ratios, {"ours, windows/s": 5.0})


def test_sides_take_turns_and_the_first_run_of_each_does_not_count():
    clock = Clock()
    # The second round is twice as slow for both: someone else uses the machine.
    sides = {"a": clock.side("a", [99, 1, 2], 10), "b": clock.side("b", [99, 2, 4], 5)}
    speeds = alternate(sides, 2, clock=clock)
    assert clock.calls == ["a", "b", "a", "b", "a", "b"]
    assert speeds == {"a": [10.0, 5.0], "b": [2.5, 1.25]}
    assert measure.ratios(speeds["a"], speeds["b"]) == [4.0, 4.0]


def test_a_figure_is_judged_by_the_median_of_its_rounds():
    assert figure("x", [1.0, 2.0, 90.0]).met
    assert not figure("x", [0.1, 1.9, 90.0]).met
    written = figure("x", [3.0, 1.0, 5.0, 4.0]).to_dict()
    assert written["ratio"] == 3.5
    assert written["rounds"] == {"n": 4, "min": 1.0, "median": 3.5, "max": 5.0}


def test_the_table_says_plainly_what_was_missed_and_what_was_skipped():
    text = measure.table([figure("m.good", [3.0]), figure("m.bad", [1.0])], {"m.none": "no data"})
    assert "1 of 2 floors MISSED: m.bad (1, floor 2)" in text
    assert "skipped m.none: no data" in text
    assert "MISSED" not in measure.table([figure("m.good", [3.0])], {})


@pytest.fixture
def made_up(monkeypatch):
    def absent():
        raise SkippedError("no data at /nowhere")

    figures = {
        "one.fast": lambda: figure("one.fast", [3.0, 4.0, 2.5]),
        "one.slow": lambda: figure("one.slow", [1.0]),
        "two.none": absent,
    }
    monkeypatch.setattr(command, "FIGURES", figures)


@pytest.mark.usefixtures("made_up")
def test_the_report_holds_machine_figures_and_skips_and_a_missed_floor_is_no_failure(
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


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(
    ("name", "expected"), [("one", ["one.fast", "one.slow"]), ("one.slow", ["one.slow"])]
)
def test_a_module_or_one_figure_can_be_chosen(tmp_path, name, expected):
    assert command.choose(name) == expected


@pytest.mark.usefixtures("made_up")
def test_an_unknown_name_is_refused_with_the_choices_and_writes_nothing(tmp_path, capsys):
    assert command.main(["three"], tmp_path / "bench") == 2
    message = capsys.readouterr().err
    assert "'three'" in message
    assert all(name in message for name in ("one", "two", "one.fast", "two.none"))
    assert not (tmp_path / "bench").exists()


def test_a_report_that_cannot_be_written_leaves_no_partial_file(tmp_path):
    with pytest.raises(TypeError):
        command.write({"figures": object()}, tmp_path)
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


def test_absent_data_skips_and_says_how_to_find_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ECG_SHARED_DATA", str(tmp_path))
    with pytest.raises(SkippedError, match=r"mitdb.*ECG_SHARED_DATA"):
        command.FIGURES["prepare.mitdb"]()


def test_the_noise_becomes_a_store_of_as_many_different_windows(tmp_path):
    dataset = write_store(noise.NoiseSource(6, 200, n_windows=3), tmp_path, progress=False)
    assert len(dataset.windows) == 18
    assert dataset.windows["signal_hash"].nunique() == 18
    assert dataset.read([0, 17]).shape == (2, 200, len(noise.LEADS))
    assert dataset.summary["near_identical_records"] == []


def allocate(size_mb, seconds=0.05):
    def work():
        held = np.ones(size_mb * 2**17)
        memory.threading.Event().wait(seconds)
        del held

    return memory.extra_mb(work)


@pytest.mark.skipif(not memory.STATUS.exists(), reason="memory is read from /proc")
def test_memory_that_is_given_back_again_still_counts_and_each_size_has_its_own_process():
    peaks = memory.peaks_mb(allocate, [20, 80], 1, "test", 0.1)
    assert peaks[20] == [pytest.approx(20, abs=3)]
    assert peaks[80] == [pytest.approx(80, abs=3)]


def test_without_proc_memory_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "STATUS", tmp_path / "absent")
    with pytest.raises(SkippedError, match="absent"):
        memory.peaks_mb(allocate, [1], 1, "test")


WORKER = """
import sys
from benchmarks.worker import serve

def fail():
    raise ValueError("the work went wrong")

serve({"write": lambda: print("words", file=sys.stderr), "talk": lambda: print("talk"),
       "fail": fail}, parameters=7)
"""


def test_a_worker_answers_when_it_is_done_and_its_talk_is_no_answer():
    with workers({"a": [sys.executable, "-c", WORKER]}, noise.ROOT) as started:
        assert started["a"].told == {"parameters": "7"}
        # More than a pipe holds, were it one.
        started["a"].work("write", 50_000)
        started["a"].work("talk", 2)
        assert started["a"].repetitions("talk") > 2


def test_a_worker_that_fails_gives_its_last_words():
    with (
        pytest.raises(WorkerError, match="the work went wrong"),
        workers({"a": [sys.executable, "-c", WORKER]}, noise.ROOT) as started,
    ):
        started["a"].work("fail", 1)


def test_without_pytorch_a_twin_is_left_out_and_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "TORCH", tmp_path / "absent")
    with pytest.raises(SkippedError, match=r"make \.venv-backends/ready"):
        command.FIGURES["training.resnet1d"]()


def test_every_encoder_that_is_trained_has_a_twin():
    from ecglib.experiment.registry import ENCODERS

    assert {*training.TWINS["time"], "random"} == set(ENCODERS["time"])
    assert set(training.TWINS["spectrogram"]) == set(ENCODERS["spectrogram"])


TWIN_COUNTS = """
import json
from benchmarks import torch_twins as twins

counts = {}
for view, own in twins.TWINS.items():
    for encoder in own:
        parameters = twins.build(view, encoder).parameters()
        counts[f"{view} {encoder}"] = sum(p.numel() for p in parameters if p.requires_grad)
print(json.dumps([twins.SHAPES, counts]))
"""


@pytest.mark.skipif(not training.TORCH.exists(), reason="make .venv-backends/ready for PyTorch")
def test_twins_look_at_the_same_views_and_have_as_many_parameters():
    code = [str(training.TORCH), "-c", TWIN_COUNTS]
    ran = subprocess.run(code, cwd=noise.ROOT, capture_output=True, check=True)
    shapes, counts = json.loads(ran.stdout)
    for view, (leads, *rest) in shapes.items():
        assert keras_steps.view_shape(view) == (*rest, leads)
    for name, count in counts.items():
        weights = keras_steps.branch(*name.split()).trainable_weights
        assert count == sum(int(np.prod(weight.shape)) for weight in weights), name
