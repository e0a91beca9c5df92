import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import make_small_source

import ecglib
from ecglib import datasets
from ecglib.cli.commands import COMMANDS, main
from ecglib.cli.parser import build_parser, parse_assignments
from ecglib.datasets.writer import write_store
from ecglib.experiment import Experiment
from ecglib.training import train


@pytest.fixture(autouse=True)
def temporary_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ECGLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ECGLIB_RUNS", str(tmp_path / "runs"))


def read_printed_json(capsys):
    return json.loads(capsys.readouterr().out)


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(["--version"])

    assert exit_status.value.code == 0
    assert capsys.readouterr().out == f"ecglib {ecglib.__version__}\n"


def test_datasets_lists_known_datasets_and_prepared_stores(tmp_path, capsys):
    assert main(["datasets", "--json"]) == 0
    listed = read_printed_json(capsys)
    assert set(listed["known"]) == set(datasets.SOURCES)
    assert listed["prepared"] == []
    store = write_store(make_small_source(), tmp_path / "data", progress=False)
    assert main(["datasets"]) == 0
    assert str(store.path) in capsys.readouterr().out


def test_check_reports_and_fails_on_a_leak(tmp_path, capsys):
    clean = write_store(make_small_source(), tmp_path / "data", progress=False)
    assert main(["check", str(clean.path), "--json"]) == 0
    report = read_printed_json(capsys)
    assert report["tasks"]["letters"]["leaks"]["shared_patients"]["count"] == 0
    source = make_small_source(seed=2)
    parts = ["train"] * 48 + ["validation"] * 24 + ["test"] * 24
    source._table["part"] = parts
    leaky = write_store(source, tmp_path / "data", progress=False)
    assert main(["check", str(leaky.path)]) == 1
    assert "shared patients: 48" in capsys.readouterr().out


def test_check_refuses_a_store_that_was_changed_or_does_not_exist(tmp_path, capsys):
    store = write_store(make_small_source(), tmp_path / "data", progress=False)
    samples = bytearray((store.path / "signals.npy").read_bytes())
    samples[5000] ^= 1
    (store.path / "signals.npy").write_bytes(samples)
    assert main(["check", str(store.path)]) == 2
    assert "signals.npy was changed after it was prepared" in capsys.readouterr().err
    for command in ("check", "prepare"):
        assert main([command, str(tmp_path / "none")]) == 2
        assert capsys.readouterr().err.startswith("ecglib: ")


def test_datasets_names_a_broken_store_and_lists_the_others(tmp_path, capsys):
    store = write_store(make_small_source(), tmp_path / "data", progress=False)
    broken = write_store(make_small_source(seed=1), tmp_path / "data", progress=False)
    (broken.path / "dataset.json").write_text("{")
    assert main(["datasets"]) == 1
    printed = capsys.readouterr().out
    assert f"{store.path}: 96 records" in printed
    assert f"{broken.path} is not a complete store" in printed


def test_bad_input_is_one_clear_line_and_exit_status_2(tmp_path, capsys):
    assert main(["prepare", "mitdb", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ecglib: ")
    assert "100.hea" in error
    assert main(["batch", str(tmp_path / "no.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["compare", "nothing"]) == 2
    assert "No finished run" in capsys.readouterr().err


@pytest.mark.slow
def test_compare_reads_the_runs(tmp_path, capsys):
    store = write_store(make_small_source(), tmp_path / "data", progress=False)
    settings = {"task": "letters", "width": 4, "feature_dim": 8, "epochs": 1, "batch_size": 16}
    for model in (
        {"branches": {"time": "cnn"}},
        {"branches": {"frequency": "cnn"}},
        {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "late_average"},
    ):
        experiment = Experiment.from_flat(settings | model, store)
        train(store, experiment, batch=tmp_path / "runs" / "b")
    assert main(["compare", "b", "--json"]) == 0
    (compared,) = read_printed_json(capsys)
    assert {model["role"] for model in compared["models"]} == {"single", "fusion"}
    (verdict,) = compared["verdicts"]
    assert (verdict["word"], verdict["n_seeds"]) == ("cannot tell", 1)
    assert main(["compare", "b", "--metric", "f1"]) == 0
    assert "macro F1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["compare", "b", "--metric", "f3"], "Unknown metric 'f3'; expected one of auroc, auprc"),
        (["batch", "no.yaml", "--set", "epochs"], "--set epochs has no '='"),
        (
            ["batch", "no.yaml", "--set", "epochs=[1"],
            "--set epochs=[1: the value is not valid YAML",
        ),
        (["predict", "b/run", "r.csv"], "b/run"),
    ],
)
def test_a_wrong_option_is_named_and_exits_with_2(command, message, capsys):
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("ecglib: ")
    assert message in error


@pytest.mark.parametrize(
    "arguments", ["mine FOLDER --set a=1", "mine --set a=1 FOLDER", "--set a=1 mine FOLDER"]
)
def test_options_may_stand_before_between_and_after_the_other_arguments(arguments):
    options = build_parser().parse_args(["prepare", *arguments.split()])

    assert (options.dataset, options.source, options.set) == ("mine", "FOLDER", ["a=1"])


def test_an_argument_too_many_is_refused(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["prepare", "mine", "--set", "a=1", "FOLDER", "SECOND"])

    assert "unrecognized arguments: SECOND" in capsys.readouterr().err


def test_assignments_are_parsed_as_yaml():
    values = parse_assignments(["epochs=30", "band_hz=[0.5, 40.0]", "dataset=a=b", "task="])
    assert values == {"epochs": 30, "band_hz": [0.5, 40.0], "dataset": "a=b", "task": None}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_heavy_import(command):
    code = (
        "import sys; from ecglib.cli.commands import main\n"
        f"try: main(['{command}', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'wfdb', 'matplotlib', 'pandas', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--json" in done.stdout


def test_prepare_takes_options_reports_what_it_excluded_and_strict_stops(tmp_path, capsys):
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((60, 50, 2))
    signals[7] = np.nan
    np.save(tmp_path / "signals.npy", signals)
    rows = [f"r{i},p{i // 2},{'AB'[i % 2]}" for i in range(60)]
    (tmp_path / "labels.csv").write_text("\n".join(["record,patient,labels", *rows]) + "\n")
    command = ["prepare", "arrays", str(tmp_path / "signals.npy")]
    command += ["--set", f"labels={tmp_path / 'labels.csv'}", "--set", "sampling_rate_hz=100.0"]
    command += ["--set", "leads=[I, II]"]
    assert main(command) == 2
    assert "--set unit=" in capsys.readouterr().err
    command += ["--set", "unit=mV"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "59 records" in printed
    assert "excluded: samples that were not measured (NaN): 1" in printed
    assert "problems.csv" in printed
    assert main([*command, "--strict"]) == 2
    assert "Record 'r7'" in capsys.readouterr().err
    assert main([*command, "--keep", "flat_leed"]) == 2
    assert "Did you mean 'flat_lead'" in capsys.readouterr().err


def test_check_shows_people_balance_and_contradicting_duplicates(tmp_path, capsys):
    source = make_small_source()
    source._signals[1] = source._signals[0]
    source._table.at[0, "labels"], source._table.at[1, "labels"] = ["A"], ["B"]
    source._table["part"] = ["train"] * 96
    store = write_store(source, tmp_path / "data", progress=False)
    assert main(["check", str(store.path)]) == 1  # nothing to validate with
    printed = capsys.readouterr().out
    assert "cannot be trained: The validation split has no window. Use cross-val" in printed
    assert "train: 96 windows, 48 patients" in printed
    assert "identical signals within parts: 1" in printed
    assert "different patients: 1" in printed
    assert "contradicting labels: 1" in printed
    assert "'r000': ['A']" in printed
    assert "The fraction of a class differs by at most" in printed
    assert main(["check", str(store.path), "--json"]) == 1
    values = read_printed_json(capsys)
    assert len(values["tasks"]["letters"]["problems"]) == 2
    duplicates = values["parts"]["part"]["duplicates"]
    assert duplicates["contradicting_labels"]["examples"][0]["contested"] == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs", "has no '='"),
        ("=3", "has no name before '='"),
        ("epochs=[1", "not valid YAML"),
        ("epochs={a: b", "not valid YAML"),
        ("day=2026-13-45", "not valid YAML"),
        ("epochs=!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("epochs=" + "[" * 5000, "not valid YAML"),
        ("epochs=" + "1" * 5000, "not valid YAML"),
        ("epochs=\x00", "not valid YAML"),
        ("epochs={[1]: 2}", "not valid YAML"),
        ("epochs=&a [*a, *b]", "not valid YAML"),
    ],
)
def test_every_assignment_that_is_no_yaml_is_one_sentence(text, message, capsys):
    for command in (["prepare", "synthetic"], ["batch", "no.yaml"]):
        assert main([*command, "--set", text]) == 2
        error = capsys.readouterr().err
        assert error.startswith("ecglib: --set ")
        assert message in error
        assert len(error.splitlines()) == 1
        assert len(error) < 400


@pytest.mark.parametrize(
    "command",
    [
        ["prepare", "/no/such/store"],
        ["check", "/no/such/store"],
        ["check", "no[such]*"],
        ["check", ""],
        ["prepare", "synthetic", "--data-dir", "/dev/null/data"],
        ["compare", "/no/such/batch"],
        ["compare", "b", "--margin", "0.1"],
        ["batch", "/no/such/file.yaml"],
        ["batch", "/"],
        ["export", "/no/such/run"],
        ["predict", "/no/such/run", "r.csv"],
    ],
    ids=" ".join,
)
def test_every_path_that_does_not_exist_is_one_sentence(command, capsys):
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("ecglib: ")
    assert len(error.splitlines()) == 1
    assert len(error) < 600


@pytest.mark.parametrize("option", ["--rate", "--start", "--margin", "--jobs"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "ten", "1e999", ""])
def test_every_number_that_is_none_is_refused_by_its_option(option, value, capsys):
    command = {"--margin": ["compare", "b"], "--jobs": ["batch", "b.yaml"]}
    with pytest.raises(SystemExit) as ended:
        main([*command.get(option, ["predict", "run", "r.csv"]), f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: {value!r} is not a" in capsys.readouterr().err


def test_a_reader_that_closes_the_pipe_ends_the_command_without_a_word(tmp_path):
    """As `ecglib datasets | head -1` does: the status is the one that a shell gives for SIGPIPE."""
    command = [sys.executable, "-m", "ecglib", "datasets"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait() == 128 + 13
    assert error == b""


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path, capsys, monkeypatch):
    """Whatever command meets it; a folder that is a file stands for all that the system refuses."""
    (tmp_path / "file").touch()
    monkeypatch.setitem(COMMANDS, "datasets", lambda options: (tmp_path / "file" / "x").touch())
    assert main(["datasets"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ecglib: {tmp_path / 'file' / 'x'}: Not a directory. Check the path")
    assert len(error.splitlines()) == 1
