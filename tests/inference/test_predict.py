import json

import numpy as np
import pandas as pd
import pytest
import wfdb
from made import LEADS, N_SAMPLES, RATE_HZ, small_source
from scipy.signal import resample_poly

from ecglib import plots
from ecglib.cli.commands import main
from ecglib.datasets.units import crop_middle
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError, RunError
from ecglib.experiment import Experiment
from ecglib.inference import predict, records
from ecglib.inference.records import Given
from ecglib.runs import Run, open_run
from ecglib.training import trainer

ORDER = [2, 0, 1]  # of the leads in the files
NAMES = ("v1", "Lead I", "ECG II")
GIVEN = Given(rate_hz=RATE_HZ, unit="uV", leads=NAMES)


def trained(store, folder, **changes):
    own = {"dataset": store.name, "fingerprint": store.fingerprint, "task": "letters"}
    own |= {"branches": {"time": "cnn", "frequency": "cnn"}, "fusion": "intermediate_concat"}
    own |= {"width": 4, "feature_dim": 8, "epochs": 1, "batch_size": 16}
    return trainer.train(Experiment(**(own | changes)), store, folder)


@pytest.fixture(scope="module")
def run(small_store, tmp_path_factory):
    return trained(small_store, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def predictor(run):
    return predict.Predictor(run)


@pytest.fixture(scope="module")
def steps(run, small_store):
    """The test windows in 0.001 mV, the leads in the order of the files."""
    return small_store.read_steps(run.predictions("test").rows)[..., ORDER].astype(int)


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
        edfio.EdfSignal(own.astype(float), RATE_HZ, label=name, physical_dimension="uV", **span)
        for own, name in zip(signal_uv.T, NAMES, strict=True)
    ]
    other = edfio.EdfSignal(np.arange(8.0), 2, label="Resp", physical_dimension="")
    edfio.Edf([*leads, other], data_record_duration=1).write(path)
    return path


def window(found):
    (own,) = found
    assert isinstance(own, records.Window), own
    return own


def refusal(predictor, path, **given):
    (problem,) = predictor.predict_records([path], Given(**given)).refused
    return problem


def test_wfdb_in_another_order_and_unit_gives_the_stored_predictions(
    run, predictor, steps, small_store, tmp_path
):
    own = run.predictions("test")
    for name, signal in zip(own.records, steps, strict=True):
        write_wfdb(tmp_path, name, signal, "uV")
    predicted = predictor.predict_records([tmp_path])
    assert [w.record for w in predicted.windows] == [str(tmp_path / r) for r in sorted(own.records)]
    order = np.argsort(own.records)
    assert np.abs(predicted.p - own.p[order]).max() < 1e-6
    kept = predictor.predict_records([tmp_path], keep_signal=True)
    assert np.array_equal([w.signal_mv for w in kept.windows], small_store.read(own.rows[order]))


def test_every_kind_of_file_gives_the_same_bits(predictor, steps, tmp_path):
    pd.DataFrame(steps[0], columns=NAMES).assign(time=range(N_SAMPLES)).to_csv(tmp_path / "a.csv")
    pd.DataFrame(steps[0], columns=NAMES).to_csv(tmp_path / "b.csv", sep=";", index=False)
    np.save(tmp_path / "a.npy", steps[0])
    np.save(tmp_path / "many.npy", steps[:3])
    write_wfdb(tmp_path, "a", steps[0], "uV")
    write_wfdb(tmp_path, "mv", steps[0] * 1e-3, "mV", gain=1000.0)
    files = ["a.csv", "b.csv", "a.npy", "a", "a.hea", "a.dat", "mv", "many.npy"]
    predicted = predictor.predict_records([tmp_path / f for f in files], GIVEN, keep_signal=True)
    assert not predicted.refused
    assert [w.record for w in predicted.windows[-3:]] == [
        f"{tmp_path / 'many.npy'}[{i}]" for i in range(3)
    ]
    for own in predicted.windows[:8]:
        assert np.array_equal(own.steps[:, ORDER], steps[0])
    assert np.array_equal(predicted.windows[-1].steps[:, ORDER], steps[2])


def test_edf_gives_the_same_bits_and_other_signals_do_not_matter(predictor, steps, tmp_path):
    path = write_edf(tmp_path / "a.edf", steps[0])
    own = window(predictor.predict_records([path], keep_signal=True).windows)
    assert np.array_equal(own.steps[:, ORDER], steps[0])


def test_another_rate_is_resampled_and_the_probabilities_are_near(run, predictor, steps, tmp_path):
    own = run.predictions("test")
    for name, signal in zip(own.records, steps, strict=True):
        faster = resample_poly(signal, 5, 2, axis=0, padtype="line")
        write_wfdb(tmp_path, name, faster, "uV", rate_hz=250.0)
    predicted = predictor.predict_records([tmp_path / name for name in own.records])
    assert np.abs(predicted.p - own.p).max() < 0.02
    assert np.abs(predicted.p - own.p).max() > 0


def test_of_a_longer_record_the_middle_or_what_was_asked_for_is_taken(predictor, steps, tmp_path):
    long = np.concatenate([steps[0], steps[1], steps[2]])[:-1]
    path = write_wfdb(tmp_path, "long", long, "uV")
    own = window(predictor.predict_records([path], keep_signal=True).windows)
    assert np.array_equal(own.steps[:, ORDER], crop_middle(long, N_SAMPLES))
    assert own.start_s == pytest.approx((len(long) - N_SAMPLES) // 2 / RATE_HZ)
    given = Given(starts_s=(4.0, 0.0, 8.0))
    predicted = predictor.predict_records([path], given, keep_signal=True)
    assert [w.start_s for w in predicted.windows] == [4.0, 0.0]
    assert np.array_equal(predicted.windows[0].steps[:, ORDER], steps[1])
    assert "Choose a start from 0 to 7.99" in predicted.refused[0].detail


def test_a_short_record_is_refused_or_padded_when_asked(predictor, steps, tmp_path):
    path = write_wfdb(tmp_path, "short", steps[0][:300], "uV")
    problem = refusal(predictor, path)
    assert problem.kind == "too_short"
    assert "holds 3 s, the model takes windows of 4 s (400 samples at 100 Hz)" in problem.detail
    own = window(predictor.predict_records([path], Given(pad=True), keep_signal=True).windows)
    assert np.array_equal(own.steps[:300, ORDER], steps[0][:300])
    assert not own.steps[300:].any()
    assert "1 s of 0 mV" in own.notes[0]


@pytest.mark.parametrize(
    ("change", "unit", "leads", "kind", "told"),
    [
        (lambda x: x, "uV", ("V1", "I", "III"), "missing_lead", "'II'"),
        (lambda x: x, "furlong", NAMES, "unknown_unit", "furlong"),
        (lambda x: x, "nV", NAMES, "wrong_unit", "Name its unit"),
        (lambda x: x, "mV", NAMES, "wrong_unit", "Name its unit"),
        (lambda x: np.where(np.arange(400)[:, None] == 7, np.nan, x), "uV", NAMES, "not_measured",
         "fill the gaps"),
        (lambda x: 0 * x, "uV", NAMES, "flat", "electrodes"),
        (lambda x: x, "uV", ("v1", "ecg v1", "ii"), "ambiguous_lead", "rename"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_contract_is_refused(
    change, unit, leads, kind, told, predictor, steps, tmp_path
):
    np.save(tmp_path / "a.npy", change(steps[0].astype(float)))
    given = {"rate_hz": RATE_HZ, "unit": unit, "leads": leads}
    problem = refusal(predictor, tmp_path / "a.npy", **given)
    assert problem.kind == kind
    assert told in problem.detail


def test_files_that_do_not_say_enough_are_refused(predictor, steps, tmp_path):
    np.save(tmp_path / "a.npy", steps[0].T)
    own = {"rate_hz": RATE_HZ, "unit": "uV", "leads": NAMES}
    for name in own:
        less = {key: value for key, value in own.items() if key != name}
        assert "names no" in refusal(predictor, tmp_path / "a.npy", **less).detail
    assert "Transpose it" in refusal(predictor, tmp_path / "a.npy", **own).detail
    (tmp_path / "a.csv").write_text("I,II,V1\n" + "0.1,x,0.2\n" * 400)
    problem = refusal(predictor, tmp_path / "a.csv", **own)
    assert problem.kind == "unreadable"
    assert "'II'" in problem.detail
    np.save(tmp_path / "b.npy", steps[0])
    own["rate_hz"] = 99.99e6
    assert refusal(predictor, tmp_path / "b.npy", **own).kind == "wrong_rate"
    (tmp_path / "a.edf").write_bytes(b"no EDF")
    assert refusal(predictor, tmp_path / "a.edf").kind == "unreadable"


def test_one_refused_record_stops_no_other(predictor, steps, tmp_path):
    write_wfdb(tmp_path, "a", steps[0], "uV")
    write_wfdb(tmp_path, "b", steps[1][:100], "uV")
    write_wfdb(tmp_path, "c", steps[2], "uV")
    (tmp_path / "broken.hea").write_text("nonsense\n")
    predicted = predictor.predict_records([tmp_path])
    assert [w.record for w in predicted.windows] == [str(tmp_path / n) for n in "ac"]
    assert [p.record for p in predicted.refused] == [str(tmp_path / n) for n in ("b", "broken")]
    table = predicted.table()
    assert len(table) == 4
    assert table["refused"].map(bool).tolist() == [False, False, True, True]
    assert json.loads(json.dumps(predicted.to_dict()))["refused"][0]["kind"] == "too_short"


def test_odd_leads_are_noted(predictor, steps, tmp_path):
    steps = steps[0].copy()
    steps[:, 1] = 3
    path = write_wfdb(tmp_path, "a", steps, "uV")
    (note,) = window(predictor.predict_records([path]).windows).notes
    assert note == "a lead flat: I"


def test_a_path_that_is_no_record_is_an_error(predictor, tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(DatasetError, match=r"no record"):
            predictor.predict_records([path])


def test_decisions_are_by_the_stored_thresholds(run, predictor, steps, tmp_path):
    np.save(tmp_path / "a.npy", steps)
    predicted = predictor.predict_records([tmp_path / "a.npy"], GIVEN)
    assert np.array_equal(predicted.decisions, predicted.p >= run.contract["thresholds"])
    table = predicted.table()
    assert np.allclose(table[["p_A", "p_B"]], predicted.p)
    for row, decision in enumerate(table["decision"]):
        assert decision.split(";") == (predicted.decided(row) or [""])


def test_of_several_classes_that_exclude_each_other_the_largest_is_decided(
    small_class_store, tmp_path
):
    run = trained(small_class_store, tmp_path, branches={"frequency": "cnn"}, fusion="none")
    rows = run.predictions("test").rows
    windows = predict.windows_of_store(small_class_store, rows)
    predicted = predict.Predictor(run).predict(windows)
    assert [w.record for w in predicted.windows] == list(run.predictions("test").records)
    assert np.allclose(predicted.p, run.predictions("test").p, atol=1e-6)
    assert [predicted.decided(row) for row in range(len(rows))] == [
        ["AB"[k]] for k in predicted.p.argmax(axis=1)
    ]


def test_a_run_on_windows_around_beats_takes_none_out_of_a_record(run, steps, tmp_path):
    beats = Run(run.path)
    beats.contract["around_beats"] = True
    predictor = predict.Predictor(beats)
    long = np.concatenate([steps[0], steps[1]])
    one, two = (write_wfdb(tmp_path, n, x, "uV") for n, x in (("1", steps[0]), ("2", long)))
    predicted = predictor.predict_records([one, two], keep_signal=True)
    assert np.array_equal(window(predicted.windows).steps[:, ORDER], steps[0])
    (problem,) = predicted.refused
    assert problem.record == str(two)
    assert "around a beat" in problem.detail
    own = window(predictor.predict_records([two], Given(starts_s=(4.0,)), True).windows)
    assert np.array_equal(own.steps[:, ORDER], steps[1])


def test_the_picture_shows_each_probability_and_what_was_decided(predictor, steps, tmp_path):
    np.save(tmp_path / "a.npy", steps[0])
    predicted = predictor.predict_records([tmp_path / "a.npy"], GIVEN, keep_signal=True)
    p = {f"class {k:02d}": k / 20 for k in range(20)}
    figure = plots.prediction(
        predicted.windows[0].signal_mv, RATE_HZ, LEADS, p, ["class 01"], dict.fromkeys(p, 0.5)
    )
    paper, bars = figure.axes
    shown = [label.get_text() for label in bars.get_yticklabels()]
    assert shown == [*(f"class {k:02d}" for k in range(19, 9, -1)), "class 01"]
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == [p[name] for name in shown]
    assert [t.get_text() for t in bars.texts if "decided" in t.get_text()] == ["0.050 decided"]
    assert paper.get_position().y0 > bars.get_position().y1


def test_memory_is_that_of_a_batch_and_speed_is_told(predictor, steps, tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.tile(steps, (14, 1, 1)))  # more than two batches
    predicted = predictor.predict_records([path], GIVEN)
    assert len(predicted.windows) == 14 * len(steps) > 2 * predict.BATCH
    assert predicted.p[: len(steps)] == pytest.approx(predicted.p[-len(steps) :], abs=1e-6)
    assert not any(own.steps.size for own in predicted.windows)
    assert predicted.records_per_s > 0
    latency = predictor.latency([path], GIVEN)
    assert 0 < latency["model_s"] < latency["record_s"] < 10


def test_a_run_is_found_by_a_part_of_its_name(run):
    runs_dir = run.path.parents[1]
    for name in (run.path, f"{run.path.parent.name}/{run.path.name}", run.experiment.hash, ""):
        assert open_run(name, runs_dir).path == run.path
    with pytest.raises(RunError, match="No run below"):
        open_run("something", runs_dir)


def test_commands_export_and_predict(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ECGLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ECGLIB_RUNS", str(tmp_path / "runs"))
    store = write_store(small_source(), tmp_path / "data", progress=False)
    run = trained(store, tmp_path / "runs")
    assert main(["export", run.experiment.hash, "--format", "keras", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == {"keras": "model.keras"}
    assert told["largest_difference"]["keras"] < 1e-5
    own = run.predictions("test")
    np.save(tmp_path / "a.npy", store.read(own.rows))
    command = ["predict", str(run.path), str(tmp_path / "a.npy"), "--rate", "100", "--unit", "mV"]
    command += ["--leads", ",".join(LEADS)]
    assert main([*command, "--json", "--csv", str(tmp_path / "p.csv")]) == 0
    told = json.loads(capsys.readouterr().out)
    p = [list(one["probabilities"].values()) for one in told["predictions"]]
    assert np.allclose(p, own.p, atol=1e-6)
    assert told["latency"]["record_s"] > 0
    table = pd.read_csv(tmp_path / "p.csv")
    assert np.allclose(table[["p_A", "p_B"]], own.p, atol=1e-6)
    np.save(tmp_path / "flat.npy", np.zeros((N_SAMPLES, len(LEADS))))
    command.insert(2, str(tmp_path / "flat.npy"))
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert f"refused: {tmp_path / 'flat.npy'}: every lead flat" in printed
    assert "records a second" in printed
    assert main(["predict", str(run.path), str(tmp_path / "none")]) == 2
    assert "is no record" in capsys.readouterr().err
    assert main(["predict", "no_run", str(tmp_path / "a.npy")]) == 2
    assert "No run below" in capsys.readouterr().err
