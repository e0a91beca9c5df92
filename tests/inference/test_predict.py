import dataclasses
import json
import os

import numpy as np
import pandas as pd
import pytest
import wfdb
from helpers import LEADS, N_SAMPLES, RATE_HZ, make_small_source
from scipy.signal import resample_poly

from ecglib import plots
from ecglib.cli.commands import main
from ecglib.datasets.units import crop_middle
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError, RunError
from ecglib.experiment import Experiment
from ecglib.inference import Predictor, RecordOptions, Window, read_stored_windows
from ecglib.inference.export import BATCH_SIZE
from ecglib.paths import write_csv
from ecglib.runs import Run, open_run
from ecglib.training import train

ORDER = [2, 0, 1]  # of the leads in the files
NAMES = ("v1", "Lead I", "ECG II")
OPTIONS = RecordOptions(sampling_rate_hz=RATE_HZ, unit="uV", leads=NAMES)
SETTINGS = {
    "task": "letters",
    "branches": {"time": "cnn", "frequency": "cnn"},
    "fusion": "intermediate_concat",
    "width": 4,
    "feature_dim": 8,
    "epochs": 1,
    "batch_size": 16,
}


@pytest.fixture(scope="module")
def run(small_store, tmp_path_factory):
    experiment = Experiment.from_flat(SETTINGS, small_store)
    return train(small_store, experiment, batch=tmp_path_factory.mktemp("runs") / "explore")


@pytest.fixture(scope="module")
def stored(run):
    """The stored predictions of the test split."""
    return run.predictions("test")


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor(run)


@pytest.fixture(scope="module")
def steps(stored, small_store):
    """The test windows in 0.001 mV, the leads in the order of the files."""
    return small_store.read_steps(stored.rows)[..., ORDER].astype(int)


def write_wfdb(folder, name, signal, unit, rate_hz=RATE_HZ, gain=1.0, leads=NAMES):
    n = signal.shape[1]
    wfdb.wrsamp(
        name, rate_hz, [unit] * n, list(leads), p_signal=signal.astype(float), fmt=["16"] * n,
        adc_gain=[gain] * n, baseline=[0] * n, write_dir=str(folder),
    )  # fmt: skip
    return folder / name


def write_edf(path, signal_uv):
    edfio = pytest.importorskip("edfio")
    span = {"physical_range": (-32768, 32767), "digital_range": (-32768, 32767)}
    leads = [
        edfio.EdfSignal(lead.astype(float), RATE_HZ, label=name, physical_dimension="uV", **span)
        for lead, name in zip(signal_uv.T, NAMES, strict=True)
    ]
    other = edfio.EdfSignal(np.arange(8.0), 2, label="Resp", physical_dimension="")
    edfio.Edf([*leads, other], data_record_duration=1).write(path)
    return path


def get_only_window(predicted):
    (window,) = predicted.windows
    assert isinstance(window, Window), window
    return window


def get_refusal(predictor, path, **options):
    (problem,) = predictor.predict([path], options=RecordOptions(**options)).refused
    return problem


def test_wfdb_in_another_order_and_unit_gives_the_stored_predictions(
    stored, predictor, steps, small_store, tmp_path
):
    for name, signal in zip(stored.records, steps, strict=True):
        write_wfdb(tmp_path, name, signal, "uV")
    predicted = predictor.predict([tmp_path])
    names = [str(tmp_path / record) for record in sorted(stored.records)]
    assert [window.record for window in predicted.windows] == names
    order = np.argsort(stored.records)
    assert np.abs(predicted.p - stored.p[order]).max() < 1e-6
    with_signal = predictor.predict([tmp_path], keep_signal=True)
    signals_mv = [window.signal_mv for window in with_signal.windows]
    assert np.array_equal(signals_mv, small_store.read(stored.rows[order]))


def test_every_kind_of_file_gives_the_same_bits(predictor, steps, tmp_path):
    pd.DataFrame(steps[0], columns=NAMES).assign(time=range(N_SAMPLES)).to_csv(tmp_path / "a.csv")
    pd.DataFrame(steps[0], columns=NAMES).to_csv(tmp_path / "b.csv", sep=";", index=False)
    np.save(tmp_path / "a.npy", steps[0])
    np.save(tmp_path / "many.npy", steps[:3])
    write_wfdb(tmp_path, "a", steps[0], "uV")
    write_wfdb(tmp_path, "mv", steps[0] * 1e-3, "mV", gain=1000.0)
    files = ["a.csv", "b.csv", "a.npy", "a", "a.hea", "a.dat", "mv", "many.npy"]
    predicted = predictor.predict([tmp_path / f for f in files], options=OPTIONS, keep_signal=True)
    assert not predicted.refused
    assert [w.record for w in predicted.windows[-3:]] == [
        f"{tmp_path / 'many.npy'}[{i}]" for i in range(3)
    ]
    for window in predicted.windows[:8]:
        assert np.array_equal(window.steps[:, ORDER], steps[0])
    assert np.array_equal(predicted.windows[-1].steps[:, ORDER], steps[2])


def test_edf_gives_the_same_bits_and_other_signals_do_not_matter(predictor, steps, tmp_path):
    path = write_edf(tmp_path / "a.edf", steps[0])
    window = get_only_window(predictor.predict([path], keep_signal=True))
    assert np.array_equal(window.steps[:, ORDER], steps[0])


def test_another_rate_is_resampled_and_the_probabilities_are_close(
    stored, predictor, steps, tmp_path
):
    for name, signal in zip(stored.records, steps, strict=True):
        faster = resample_poly(signal, 5, 2, axis=0, padtype="line")
        write_wfdb(tmp_path, name, faster, "uV", rate_hz=250.0)
    predicted = predictor.predict([tmp_path / name for name in stored.records])
    assert np.abs(predicted.p - stored.p).max() < 0.02
    assert np.abs(predicted.p - stored.p).max() > 0


def test_a_longer_record_gives_its_middle_or_the_windows_at_the_given_starts(
    predictor, steps, tmp_path
):
    long = np.concatenate([steps[0], steps[1], steps[2]])[:-1]
    path = write_wfdb(tmp_path, "long", long, "uV")
    window = get_only_window(predictor.predict([path], keep_signal=True))
    assert np.array_equal(window.steps[:, ORDER], crop_middle(long, N_SAMPLES))
    assert window.start_s == pytest.approx((len(long) - N_SAMPLES) // 2 / RATE_HZ)
    options = RecordOptions(starts_s=(4.0, 0.0, 8.0))
    predicted = predictor.predict([path], options=options, keep_signal=True)
    assert [w.start_s for w in predicted.windows] == [4.0, 0.0]
    assert np.array_equal(predicted.windows[0].steps[:, ORDER], steps[1])
    assert "Choose a start from 0 to 7.99" in predicted.refused[0].detail


def test_a_short_record_is_refused_or_padded_when_asked(predictor, steps, tmp_path):
    path = write_wfdb(tmp_path, "short", steps[0][:300], "uV")
    problem = get_refusal(predictor, path)
    assert problem.kind == "too_short"
    assert "has 3 s, but the model takes windows of 4 s (400 samples at 100 Hz)" in problem.detail
    options = RecordOptions(pad=True)
    window = get_only_window(predictor.predict([path], options=options, keep_signal=True))
    assert np.array_equal(window.steps[:300, ORDER], steps[0][:300])
    assert not window.steps[300:].any()
    assert "1 s of 0 mV" in window.problems[0]


@pytest.mark.parametrize(
    ("change", "unit", "leads", "kind", "message"),
    [
        (lambda x: x, "uV", ("V1", "I", "III"), "missing_lead", "'II'"),
        (lambda x: x, "furlong", NAMES, "unknown_unit", "furlong"),
        (lambda x: x, "nV", NAMES, "wrong_unit", "Name its unit"),
        (lambda x: x, "mV", NAMES, "out_of_range", "Correct the unit"),
        (lambda x: np.where(np.arange(400)[:, None] == 7, np.nan, x), "uV", NAMES, "not_measured",
         "fill the gaps"),
        (lambda x: 0 * x, "uV", NAMES, "flat", "electrodes"),
        (lambda x: x, "uV", ("v1", "ecg v1", "ii"), "ambiguous_lead", "rename"),
    ],
)  # fmt: skip
def test_a_record_that_does_not_fit_the_contract_is_refused(
    change, unit, leads, kind, message, predictor, steps, tmp_path
):
    path = tmp_path / "a.npy"
    np.save(path, change(steps[0].astype(float)))
    problem = get_refusal(predictor, path, sampling_rate_hz=RATE_HZ, unit=unit, leads=leads)
    assert problem.kind == kind
    assert message in problem.detail


def test_files_that_do_not_say_enough_are_refused(predictor, steps, tmp_path):
    np.save(tmp_path / "a.npy", steps[0].T)
    complete = {"sampling_rate_hz": RATE_HZ, "unit": "uV", "leads": NAMES}
    for missing, words in (
        ("sampling_rate_hz", "does not name its sampling rate"),
        ("unit", "does not name its unit"),
        ("leads", "does not name its leads"),
    ):
        options = {name: value for name, value in complete.items() if name != missing}
        assert words in get_refusal(predictor, tmp_path / "a.npy", **options).detail
    assert "Transpose" in get_refusal(predictor, tmp_path / "a.npy", **complete).detail


def test_files_that_cannot_be_read_are_refused(predictor, steps, tmp_path):
    complete = {"sampling_rate_hz": RATE_HZ, "unit": "uV", "leads": NAMES}
    (tmp_path / "a.csv").write_text("I,II,V1\n" + "0.1,x,0.2\n" * 400)
    problem = get_refusal(predictor, tmp_path / "a.csv", **complete)
    assert problem.kind == "unreadable"
    assert "'II'" in problem.detail
    np.save(tmp_path / "b.npy", steps[0])
    impossible = complete | {"sampling_rate_hz": 99.99e6}
    assert get_refusal(predictor, tmp_path / "b.npy", **impossible).kind == "wrong_rate"
    (tmp_path / "a.edf").write_bytes(b"no EDF")
    assert get_refusal(predictor, tmp_path / "a.edf").kind == "unreadable"


def test_a_refused_record_does_not_stop_the_others(predictor, steps, tmp_path):
    write_wfdb(tmp_path, "a", steps[0], "uV")
    write_wfdb(tmp_path, "b", steps[1][:100], "uV")
    write_wfdb(tmp_path, "c", steps[2], "uV")
    (tmp_path / "broken.hea").write_text("nonsense\n")
    predicted = predictor.predict([tmp_path])
    assert [w.record for w in predicted.windows] == [str(tmp_path / n) for n in "ac"]
    assert [p.record for p in predicted.refused] == [str(tmp_path / n) for n in ("b", "broken")]
    table = predicted.to_table()
    assert len(table) == 4
    assert table["refused"].map(bool).tolist() == [False, False, True, True]
    assert json.loads(json.dumps(predicted.to_dict()))["refused"][0]["kind"] == "too_short"


def test_unusual_leads_are_listed_as_problems(predictor, steps, tmp_path):
    with_flat_lead = steps[0].copy()
    with_flat_lead[:, 1] = 3
    path = write_wfdb(tmp_path, "a", with_flat_lead, "uV")
    window = get_only_window(predictor.predict([path]))
    assert window.problems == ("a lead flat: I",)


def test_a_path_that_is_no_record_is_an_error(predictor, tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DatasetError, match=r"no record|not a record"):
            predictor.predict([path])


def test_decisions_are_by_the_stored_thresholds(run, predictor, steps, tmp_path):
    np.save(tmp_path / "a.npy", steps)
    predicted = predictor.predict([tmp_path / "a.npy"], options=OPTIONS)
    assert np.array_equal(predicted.decisions, predicted.p >= run.contract.thresholds)
    table = predicted.to_table()
    assert np.allclose(table[["p_A", "p_B"]], predicted.p)
    for row, decision in enumerate(table["decision"]):
        assert decision.split(";") == (predicted.list_decisions(row) or [""])


@pytest.mark.slow
def test_the_most_probable_of_classes_that_exclude_each_other_is_decided(
    small_class_store, tmp_path
):
    settings = SETTINGS | {"branches": {"frequency": "cnn"}, "fusion": "none"}
    experiment = Experiment.from_flat(settings, small_class_store)
    run = train(small_class_store, experiment, batch=tmp_path / "explore")
    stored = run.predictions("test")
    predicted = Predictor(run).predict_windows(read_stored_windows(small_class_store, stored.rows))
    assert [window.record for window in predicted.windows] == list(stored.records)
    assert np.allclose(predicted.p, stored.p, atol=1e-6)
    assert [predicted.list_decisions(row) for row in range(len(stored.rows))] == [
        ["AB"[k]] for k in predicted.p.argmax(axis=1)
    ]


def test_a_run_on_windows_around_beats_needs_a_start_in_a_longer_record(run, steps, tmp_path):
    beats_run = Run(run.path)
    signal = dataclasses.replace(run.contract.signal, around_beats=True)
    beats_run.contract = dataclasses.replace(run.contract, signal=signal)
    predictor = Predictor(beats_run)
    long = np.concatenate([steps[0], steps[1]])
    paths = [write_wfdb(tmp_path, "1", steps[0], "uV"), write_wfdb(tmp_path, "2", long, "uV")]
    predicted = predictor.predict(paths, keep_signal=True)
    assert np.array_equal(get_only_window(predicted).steps[:, ORDER], steps[0])
    (problem,) = predicted.refused
    assert problem.record == str(paths[1])
    assert "around a beat" in problem.detail
    options = RecordOptions(starts_s=(4.0,))
    predicted = predictor.predict(paths[1:], options=options, keep_signal=True)
    assert np.array_equal(get_only_window(predicted).steps[:, ORDER], steps[1])


def test_the_figure_shows_each_probability_and_decision(predictor, steps, tmp_path):
    np.save(tmp_path / "a.npy", steps[0])
    predicted = predictor.predict([tmp_path / "a.npy"], options=OPTIONS, keep_signal=True)
    p = {f"class {k:02d}": k / 20 for k in range(20)}
    figure = plots.plot_prediction(
        predicted.windows[0].signal_mv,
        RATE_HZ,
        LEADS,
        plots.PredictedClasses(
            probabilities=p, decisions=["class 01"], thresholds=dict.fromkeys(p, 0.5)
        ),
    )
    paper, bars = figure.axes
    shown = [label.get_text() for label in bars.get_yticklabels()]
    assert shown == [*(f"class {k:02d}" for k in range(19, 9, -1)), "class 01"]
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == [p[name] for name in shown]
    assert [t.get_text() for t in bars.texts if "decided" in t.get_text()] == ["0.050  decided"]
    assert paper.get_position().y0 > bars.get_position().y1


def test_samples_are_dropped_after_each_batch_and_speed_is_measured(predictor, steps, tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.tile(steps, (14, 1, 1)))  # more than two batches
    predicted = predictor.predict([path], options=OPTIONS)
    assert len(predicted.windows) == 14 * len(steps) > 2 * BATCH_SIZE
    assert predicted.p[: len(steps)] == pytest.approx(predicted.p[-len(steps) :], abs=1e-6)
    assert not any(window.steps.size for window in predicted.windows)
    assert predicted.records_per_s > 0
    latency = predictor.measure_latency([path], OPTIONS)
    assert 0 < latency.model_s < latency.record_s < 10


def test_the_latency_of_records_that_are_all_refused_is_an_error(predictor, tmp_path):
    path = tmp_path / "flat.npy"
    np.save(path, np.zeros((N_SAMPLES, len(LEADS))))
    with pytest.raises(DatasetError, match="None of the records can be predicted"):
        predictor.measure_latency([path], OPTIONS)


def test_a_run_is_found_by_a_part_of_its_name(run):
    runs_dir = run.path.parents[1]
    for name in (run.path, f"{run.path.parent.name}/{run.path.name}", run.experiment.hash, ""):
        assert open_run(name, runs_dir).path == run.path
    with pytest.raises(RunError, match="No run below"):
        open_run("something", runs_dir)


@pytest.mark.slow
def test_commands_export_and_predict(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ECGLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ECGLIB_RUNS", str(tmp_path / "runs"))
    store = write_store(make_small_source(), tmp_path / "data", progress=False)
    run = train(store, Experiment.from_flat(SETTINGS, store), batch=tmp_path / "runs" / "explore")
    assert main(["export", run.experiment.hash, "--format", "keras", "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert exported["files"] == {"keras": "model.keras"}
    assert exported["max_differences"]["keras"] < 1e-5
    stored = run.predictions("test")
    np.save(tmp_path / "a.npy", store.read(stored.rows))
    command = ["predict", str(run.path), str(tmp_path / "a.npy"), "--rate", "100", "--unit", "mV"]
    command += ["--leads", ",".join(LEADS)]
    assert main([*command, "--json", "--csv", str(tmp_path / "p.csv")]) == 0
    predicted = json.loads(capsys.readouterr().out)
    p = [list(window["probabilities"].values()) for window in predicted["predictions"]]
    assert np.allclose(p, stored.p, atol=1e-6)
    assert predicted["latency"]["record_s"] > 0
    table = pd.read_csv(tmp_path / "p.csv")
    assert np.allclose(table[["p_A", "p_B"]], stored.p, atol=1e-6)
    np.save(tmp_path / "flat.npy", np.zeros((N_SAMPLES, len(LEADS))))
    command.insert(2, str(tmp_path / "flat.npy"))
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert f"refused: {tmp_path / 'flat.npy'}: every lead flat" in printed
    assert "records per second" in printed
    assert main(["predict", str(run.path), str(tmp_path / "none")]) == 2
    assert "is not a record" in capsys.readouterr().err
    assert main(["predict", "no_run", str(tmp_path / "a.npy")]) == 2
    assert "No run below" in capsys.readouterr().err


def test_arrays_give_the_probabilities_of_the_same_signal_written_as_wfdb(
    predictor, steps, tmp_path
):
    """Longer records at another rate, with the leads in another order; whole microvolts."""
    long = [np.concatenate([steps[k], steps[k + 1]]) for k in range(3)]
    faster = [resample_poly(x, 5, 2, axis=0, padtype="line").round() for x in long]
    for k, signal in enumerate(faster):
        write_wfdb(tmp_path, f"r{k}", signal, "uV", rate_hz=250.0)
    from_files = predictor.predict([tmp_path], keep_signal=True)

    signals = [signal / 1000 for signal in faster]
    predicted = predictor.predict(
        signals, sampling_rate_hz=250, leads=NAMES, names=["r0", "r1", "r2"], keep_signal=True
    )

    assert np.array_equal(predicted.p, from_files.p)
    assert np.array_equal(predicted.decisions, from_files.decisions)
    assert [w.start_s for w in predicted.windows] == [w.start_s for w in from_files.windows]
    assert [w.record for w in predicted.windows] == ["r0", "r1", "r2"]
    for window, other in zip(predicted.windows, from_files.windows, strict=True):
        assert np.array_equal(window.steps, other.steps)


def test_arrays_give_the_stored_predictions(stored, predictor, small_store):
    signals = small_store.read(stored.rows)
    predicted = predictor.predict(signals, sampling_rate_hz=RATE_HZ, leads=LEADS)
    assert np.abs(predicted.p - stored.p).max() < 1e-6
    one = predictor.predict(signals[0], sampling_rate_hz=RATE_HZ, leads=LEADS)
    assert one.p == pytest.approx(predicted.p[:1], abs=1e-6)
    assert [w.record for w in one.windows] == ["signals"]
    microvolts = predictor.predict(
        1000 * signals, sampling_rate_hz=RATE_HZ, leads=LEADS, options=RecordOptions(unit="uV")
    )
    assert np.array_equal(microvolts.p, predicted.p)


def test_an_array_that_does_not_fit_the_contract_is_refused_and_the_others_go_on(predictor, steps):
    good, with_gap, short = steps[0] / 1000, steps[0] / 1000, steps[0][:100] / 1000
    with_gap[7] = np.nan
    predicted = predictor.predict(
        [with_gap, short, 0 * good, 1000 * good, good], sampling_rate_hz=RATE_HZ, leads=NAMES
    )
    kinds = [problem.kind for problem in predicted.refused]
    assert kinds == ["not_measured", "too_short", "flat", "out_of_range"]
    assert [w.record for w in predicted.windows] == ["signals[4]"]
    options = RecordOptions(pad=True)
    padded = predictor.predict(short, sampling_rate_hz=RATE_HZ, leads=NAMES, options=options)
    assert "3 s of 0 mV" in get_only_window(padded).problems[0]
    missing = predictor.predict(good, sampling_rate_hz=RATE_HZ, leads=("V1", "I", "III"))
    assert missing.refused[0].kind == "missing_lead"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"records": np.zeros((3, 400))}, "Transpose the array"),
        ({"records": np.zeros((1, 1, 400, 3))}, r"expected \(n_records, n_samples, n_leads\)"),
        ({"records": [np.zeros((400, 3)), np.zeros(400)]}, r"signals\[1\] has shape \(400,\)"),
        ({"records": np.full((400, 3), "x")}, "expected numbers"),
        ({"records": [np.zeros((400, 3)), "record.csv"]}, "in two calls"),
        ({"records": None}, "NoneType was given, expected records"),
        ({"names": ["a", "b"]}, "2 names for 1 recordings"),
        ({"leads": "I"}, "expected a list"),
        ({"sampling_rate_hz": 0}, "does not name its sampling rate"),
        ({"leads": ()}, "does not name its leads"),
        ({"sampling_rate_hz": -1}, "sampling_rate_hz=-1"),
        ({"sampling_rate_hz": float("nan")}, "sampling_rate_hz=nan"),
        ({"options": RecordOptions(sampling_rate_hz=500.0)}, "the options say 500"),
        ({"options": RecordOptions(values={"age": 63})}, "uses no tabular values"),
    ],
)
def test_arrays_that_are_given_wrongly_are_an_error(changes, message, predictor):
    given = {"records": np.zeros((400, 3)), "sampling_rate_hz": RATE_HZ, "leads": NAMES}
    with pytest.raises(DatasetError, match=message):
        predictor.predict(**given | changes)


def test_windows_given_as_arrays_are_an_error(predictor, small_store):
    with pytest.raises(DatasetError, match="For arrays in mV and for files use predict"):
        predictor.predict_windows(small_store.read(np.arange(3)))


def test_a_file_name_that_is_not_utf_8_is_a_name_like_others(predictor, steps, tmp_path):
    for name, array in ((b"\xff.npy", steps[0]), (b"\xfe.npy", steps[0].T)):
        np.save(tmp_path / os.fsdecode(name), array)
    predicted = predictor.predict([tmp_path], options=OPTIONS)
    assert [w.record for w in predicted.windows] == [f"{tmp_path}/\\xff.npy"]
    assert [p.record for p in predicted.refused] == [f"{tmp_path}/\\xfe.npy"]
    write_csv(tmp_path / "a.csv", predicted.to_table())
    assert "\\xff.npy" in (tmp_path / "a.csv").read_text()
