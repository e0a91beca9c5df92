"""Predictions of another framework: against a run, against scikit-learn, and mistakes in them."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import make_small_source
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.multioutput import MultiOutputClassifier
from studies import StudyFolder, write_study

import ecglib
from ecglib.batch.comparison import compare, compare_batches
from ecglib.batch.entering import enter
from ecglib.batch.report import write_report
from ecglib.cli.commands import main
from ecglib.datasets.split_files import build_split_table
from ecglib.datasets.writer import write_store
from ecglib.errors import DamagedRunError, EntryError, RunError
from ecglib.evaluation.simulation import StudySettings
from ecglib.experiment import Experiment
from ecglib.inference import Predictor, export_run
from ecglib.runs import SPLITS, Entry, find_newest_batch, find_runs, open_run
from ecglib.training import train, trees
from ecglib.training.tree_trainer import TreeTrainer

BOTH = ["validation", "test"]
FOLDS = 3


@pytest.fixture(autouse=True, scope="module")
def few_trees():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "N_TREES", 20)
        yield


def train_trees(store, folder, **changes):
    settings = {"task": "letters", "branches": {"handcrafted": "random_forest"}}
    return train(store, Experiment.from_flat(settings | changes, store), batch=folder)


@pytest.fixture(scope="module")
def trained(small_store, tmp_path_factory):
    return train_trees(small_store, tmp_path_factory.mktemp("runs") / "b")


@pytest.fixture
def batch(trained, tmp_path):
    """A batch with one run."""
    folder = tmp_path / "b"
    shutil.copytree(trained.path, folder / trained.path.name)
    return folder


@pytest.fixture(scope="module")
def table(small_store):
    """What `ecglib split` writes of the validation and the test split, with plausible answers."""
    windows = build_split_table(small_store, small_store.select("letters"))
    windows = windows[windows["part"].isin(BOTH)].reset_index(drop=True)
    rng = np.random.default_rng(0)
    windows[["A", "B"]] = 0.6 * windows[["A", "B"]] + 0.4 * rng.random((len(windows), 2))
    return windows


def tabulate(predictions, classes):
    """One table of the predictions of both splits."""
    return pd.concat(
        pd.DataFrame(one.p, columns=list(classes)).assign(window=one.rows)
        for one in predictions.values()
    )


def test_the_predictions_of_a_run_get_its_scores_thresholds_and_intervals(
    trained, batch, small_store, tmp_path
):
    raw = TreeTrainer(trained.experiment, small_store).fit().predictions
    tabulate(raw, trained.classes).to_csv(tmp_path / "raw.csv", index=False)

    entry = enter(batch, tmp_path / "raw.csv", name="again", parameters=trained.parameters)

    assert entry.details.thresholds == trained.contract.thresholds
    for split in SPLITS:
        assert (entry.predictions(split).p == trained.predictions(split).p).all()
        assert (entry.predictions(split).rows == trained.predictions(split).rows).all()
        assert entry.metrics[split] == trained.metrics[split]
    rows = compare([trained, entry]).table.set_index("model")
    same = rows.loc["handcrafted:random_forest"].drop(["role", "branches", "caveats"])
    other = rows.loc["again (not trained here)"].drop(["role", "branches", "caveats"])
    pd.testing.assert_series_equal(same, other, check_names=False, check_exact=True)


def test_a_logistic_regression_on_the_written_signals_gets_the_auroc_of_scikit_learn(
    batch, small_store, tmp_path, capsys
):
    split, signals, predicted = (tmp_path / one for one in ("s.csv", "s.npz", "p.csv"))
    command = ["split", str(small_store.path), "--task", "letters", "--output", str(split)]
    assert main([*command, "--signals", str(signals)]) == 0
    with np.load(signals) as arrays:
        x = arrays["signals"].std(axis=1)
        part, labels, classes = arrays["part"], arrays["labels"], arrays["classes"]
        window = arrays["window"]
    model = MultiOutputClassifier(LogisticRegression())
    model.fit(x[part == "train"], labels[part == "train"])
    p = np.stack([one[:, 1] for one in model.predict_proba(x)], axis=1)
    scored = part != "train"
    frame = pd.DataFrame(p[scored], columns=classes).assign(window=window[scored])
    frame.to_csv(predicted, index=False)

    options = ["--name", "logreg", "--seed", "0", "--parameters", "8", "--json"]
    capsys.readouterr()
    assert main(["enter", str(batch), str(predicted), *options]) == 0

    shown = json.loads(capsys.readouterr().out)
    expected = roc_auc_score(labels[part == "test"], p[part == "test"], average="macro")
    assert shown["macro"]["auroc"]["estimate"] == pytest.approx(expected, abs=1e-12)
    assert shown["trained_here"] is False
    assert 0.5 < expected < 1


def test_the_order_of_rows_does_not_matter(batch, table):
    first = enter(batch, table, name="a", parameters=1)
    second = enter(batch, table.sample(frac=1, random_state=0), name="b", parameters=1)

    for split in SPLITS:
        assert (first.predictions(split).p == second.predictions(split).p).all()


def test_a_csv_an_npz_file_and_a_table_are_the_same(batch, table, tmp_path):
    table.to_csv(tmp_path / "p.csv", index=False)
    arrays = {"window": table["window"], "p": table[["A", "B"]], "classes": np.array(["A", "B"])}
    np.savez(tmp_path / "p.npz", **arrays, store=table["store"].iloc[0], fold=0)

    entries = [
        enter(batch, one, name=f"model {k}", parameters=1)
        for k, one in enumerate((table, tmp_path / "p.csv", tmp_path / "p.npz"))
    ]

    p = [one.predictions("test").p for one in entries]
    assert (p[0] == p[1]).all()
    assert (p[0] == p[2]).all()
    assert [one.details.source for one in entries] == ["", "p.csv", "p.npz"]


MISTAKES = {
    "a missing window": (
        lambda t: t.drop(index=[0, 5]),
        r"lacks . of \d+ \w+ windows and . of \d+ \w+ windows, first the windows",
    ),
    "a window twice": (
        lambda t: pd.concat([t, t.iloc[[3]]]),
        r"1 windows more than once, first window \d+ in rows 3, \d+",
    ),
    "a window of the training split": (
        lambda t: t.assign(window=t["window"].where(t.index != 4, 10_000)),
        "1 windows that are neither in the validation nor in the test split .* row 4: window 10000",
    ),
    "a window that is no number": (
        lambda t: t.astype({"window": object}).assign(
            window=lambda t: t["window"].where(t.index != 2, "r01")
        ),
        "1 values in the column window that are no whole numbers, first in row 2: 'r01'",
    ),
    "a misspelt class": (
        lambda t: t.rename(columns={"B": "Bb"}),
        "no column B and an unknown column 'Bb'.*Did you mean 'B'",
    ),
    "a class more": (lambda t: t.assign(C=0.5), "an unknown column 'C'"),
    "no windows": (lambda t: t.drop(columns="window"), "no column window"),
    "a column twice": (
        lambda t: pd.concat([t, t["A"]], axis=1),
        "the column 'A' twice",
    ),
    "logits": (
        lambda t: t.assign(A=np.log(t["A"] / (1 - t["A"]))),
        r"\d+ values that are not between 0 and 1, first A in rows .*; apply the sigmoid to logits",
    ),
    "a probability above 1": (
        lambda t: t.assign(B=t["B"].where(t.index != 7, 1.0001)),
        "1 values that are not between 0 and 1, first B in row 7: 1.0001",
    ),
    "an empty cell": (
        lambda t: t.assign(A=t["A"].where(t.index != 6)),
        "1 values that are no numbers, first A in row 6: nan",
    ),
    "a text": (
        lambda t: t.astype({"A": object}).assign(A=lambda t: t["A"].where(t.index != 6, "high")),
        "1 values that are no numbers, first A in row 6: 'high'",
    ),
    "records of other windows": (
        lambda t: t.assign(record=t["record"].to_numpy()[::-1]),
        r"another record than the runs of the batch for \d+ validation windows, first in",
    ),
    "splits exchanged": (
        lambda t: t.assign(part=t["part"].map({"validation": "test", "test": "validation"})),
        "another part than the runs of the batch for",
    ),
    "another store": (
        lambda t: t.assign(store="small-0123"),
        "is of the store 'small-0123', but the runs of the batch are of the store small-",
    ),
    "another task": (
        lambda t: t.assign(task="digits"),
        "is of the task 'digits', but the runs of the batch are of the task letters",
    ),
    "a fold": (lambda t: t.assign(fold=2), "is of fold '2', but the runs .* are of no fold"),
    "several folds": (
        lambda t: t.assign(fold=np.arange(len(t)) % 3),
        "3 values in the column fold: 0, 1, 2. Expected one: enter one file for each fold",
    ),
    "no rows": (lambda t: t.head(0), "has no rows. Give one for each window"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("as_file", [False, True])
def test_a_mistake_is_refused_and_nothing_is_written(batch, table, tmp_path, mistake, as_file):
    change, message = MISTAKES[mistake]
    given = change(table)
    if as_file:
        given.to_csv(tmp_path / "p.csv", index=False)
        given = tmp_path / "p.csv"
        if mistake == "a column twice":
            message = "an unknown column 'A.1'"
        # A file has lines from 2, not rows from 0, and texts.
        message = message.replace("rows 3", "lines 5").replace("in rows", "in lines")
        for row in (2, 4, 6, 7):
            message = message.replace(f"row {row}", f"line {row + 2}")
        message = message.replace("1.0001", "'1.0001'").replace(": nan", ": ''")

    with pytest.raises(EntryError, match=message):
        enter(batch, given, name="wrong", parameters=1)

    assert [path.name for path in batch.iterdir()] == [find_runs(batch)[0].path.name]


def test_the_labels_themselves_are_refused(batch, small_store):
    labels = build_split_table(small_store, small_store.select("letters"))

    with pytest.raises(EntryError, match="neither in the validation nor in the test split"):
        enter(batch, labels, name="labels", parameters=1)
    with pytest.raises(EntryError, match="holds the labels themselves"):
        enter(batch, labels[labels["part"] != "train"], name="labels", parameters=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no CSV file"),
        (b"window;A;B\n1;2;3\n", "no column window, A, B"),
        (b"\xff\xfe\x00", "is no CSV file"),
        (b"window,A,B\n1,2,3,4,5\n1\n2,3,4,5,6,7,8\n", "is no CSV file"),
    ],
)
def test_a_file_that_is_no_table_is_refused(batch, tmp_path, content, message):
    (tmp_path / "p.csv").write_bytes(content)

    with pytest.raises(EntryError, match=message):
        enter(batch, tmp_path / "p.csv", name="wrong", parameters=1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"window": np.arange(3)}, "lacks p, classes; it has window"),
        (
            {"window": np.arange(3), "p": np.ones((2, 2)), "classes": np.array(["A", "B"])},
            r"window of shape \(3,\), p of shape \(2, 2\)",
        ),
        ({"window": np.array([{}], dtype=object)}, "is no NPZ file"),
    ],
)
def test_an_npz_file_without_the_arrays_is_refused(batch, tmp_path, arrays, message):
    np.savez(tmp_path / "p.npz", **arrays)

    with pytest.raises(EntryError, match=message):
        enter(batch, tmp_path / "p.npz", name="wrong", parameters=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": ""}, "name='', expected a text of 1 to 60"),
        ({"name": "a\nb"}, "expected a text"),
        ({"name": "x" * 61}, "expected a text"),
        ({"parameters": 1.5}, "parameters=1.5, expected a whole number"),
        ({"seed": -1}, "seed=-1, expected a whole number"),
    ],
)
def test_a_wrong_name_or_number_is_refused(batch, table, values, message):
    with pytest.raises(EntryError, match=message):
        enter(batch, table, **({"name": "a", "parameters": 1} | values))


def test_a_batch_without_a_run_has_no_labels_to_score_with(table, batch, tmp_path):
    with pytest.raises(RunError, match="No finished run"):
        enter(tmp_path / "none", table, name="a", parameters=1)
    entry = enter(batch, table, name="a", parameters=1)
    (other,) = (run.path for run in find_runs(batch) if run.path != entry.path)
    shutil.rmtree(other)
    with pytest.raises(EntryError, match="no run that was trained here"):
        enter(batch, table, name="b", parameters=1)


def test_the_probabilities_of_a_multi_class_task_sum_to_one(small_class_store, tmp_path):
    train_trees(small_class_store, tmp_path / "b")
    windows = build_split_table(small_class_store, small_class_store.select("letters"))
    windows = windows[windows["part"].isin(BOTH)].reset_index(drop=True)
    a = 0.25 + 0.5 * windows["A"]

    entry = enter(tmp_path / "b", windows.assign(A=a, B=1 - a), name="a", parameters=1)
    with pytest.raises(
        EntryError, match=r"do not sum to 1, first in rows 0, 1, 2, .*; apply the so"
    ):
        enter(tmp_path / "b", windows.assign(A=a, B=a), name="b", parameters=1)

    assert entry.predictions("test").p.sum(axis=1) == pytest.approx(1)


def test_other_predictions_of_one_name_and_seed_are_refused(batch, table):
    first = enter(batch, table, name="a", parameters=1)

    assert enter(batch, table, name="a", parameters=1).path == first.path
    with pytest.raises(EntryError, match=r"a has other predictions for the seed 0 already.*remove"):
        enter(batch, table.assign(A=0.5), name="a", parameters=1)
    assert enter(batch, table.assign(A=0.5), name="a", parameters=1, seed=1).seed == 1


def test_an_entry_has_no_model(batch, table, trained, tmp_path):
    entry = enter(batch, table, name="a", parameters=1)
    message = "a was not trained here: only its predictions were entered, so there is no model"

    for use in (
        lambda: entry.predict("record.hea"),
        entry.load_network,
        lambda: Predictor(entry),
        lambda: export_run(entry),
        lambda: open_run(entry.path),
        lambda: open_run("entered_a", tmp_path),
    ):
        with pytest.raises(RunError, match=message):
            use()
    assert open_run("", tmp_path).path.name == trained.path.name
    assert find_newest_batch(tmp_path) == batch
    assert main(["predict", str(entry.path), "record.hea"]) == 2
    assert main(["export", str(entry.path)]) == 2


def test_a_damaged_entry_is_noticed(batch, table):
    entry = enter(batch, table, name="a", parameters=1)
    for name in ("predictions.npz", "metrics.json", "entry.json"):
        content = (entry.path / name).read_bytes()
        (entry.path / name).write_bytes(content[:-9] + b"x" + content[-8:])
        with pytest.raises(
            DamagedRunError, match=r"The entry .* is damaged.*enter the predictions"
        ):
            Entry(entry.path).verify()
        (entry.path / name).write_bytes(content)
    Entry(entry.path).verify()
    values = json.loads((entry.path / "entry.json").read_text())
    (entry.path / "entry.json").write_text(json.dumps(values | {"format": 0}))
    with pytest.raises(RunError, match="has format 0, this version reads format 1"):
        Entry(entry.path)


def test_the_caveats_say_that_it_was_not_trained_here(batch, table):
    entry = enter(batch, table, name="a<b>", parameters=1)

    assert "a<b> was not trained here" in repr(entry)
    html = entry._repr_html_()
    assert "a&lt;b&gt; was not trained here: which data, splits and settings" in html
    assert "a<b>" not in html


def test_each_fold_is_entered_by_itself(small_store, tmp_path):
    for fold in range(1, FOLDS + 1):
        train_trees(small_store, tmp_path / "b", n_folds=FOLDS, fold=fold)
    command = ["split", str(small_store.path), "--folds", str(FOLDS), "--fold"]
    tables = []
    for fold in range(1, FOLDS + 1):
        file = tmp_path / f"fold{fold}.csv"
        assert main([*command, str(fold), "--output", str(file)]) == 0
        windows = pd.read_csv(file)
        assert (windows["fold"] == fold).all()
        windows = windows[windows["part"].isin(BOTH)]
        tables.append(windows.assign(A=0.3 + 0.4 * windows["A"], B=0.5))

    with pytest.raises(EntryError, match="is of no fold, but the runs of the batch are of fold 1"):
        enter(tmp_path / "b", tables[0].drop(columns="fold"), name="a", parameters=1)
    for one in tables[:2]:
        enter(tmp_path / "b", one, name="a", parameters=1)
    with pytest.raises(RunError, match=r"no run of the folds \[3\] of 3"):
        compare_batches([tmp_path / "b"])
    enter(tmp_path / "b", tables[2], name="a", parameters=1)

    (compared,) = compare_batches([tmp_path / "b"])
    row = compared.table.set_index("model").loc["a (not trained here)"]
    assert row["auroc:A"] == 1


def test_a_batch_of_two_tasks_needs_the_task(small_store, tmp_path, table):
    other = write_store(make_small_source(seed=1), tmp_path / "data", progress=False)
    for store in (small_store, other):
        train_trees(store, tmp_path / "b")

    with pytest.raises(EntryError, match="has runs of 2 tasks, stores or cross-validations"):
        enter(tmp_path / "b", table.drop(columns="store"), name="a", parameters=1)
    entry = enter(tmp_path / "b", table, name="a", parameters=1)

    assert entry.data.fingerprint == small_store.fingerprint


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A simulated batch in which a fusion helps, before and after a model was entered."""
    settings = StudySettings(n_patients=200, n_fusions=1, gain=0.06)
    folder = write_study(settings, StudyFolder(runs_dir=tmp_path_factory.mktemp("runs")))
    (before,) = compare_batches([folder])
    seeds = [run for run in find_runs(folder) if run.role == "fusion"]
    for run in seeds:
        predictions = {split: run.predictions(split) for split in SPLITS}
        weaker = {k: one.replace_probabilities(one.p**2) for k, one in predictions.items()}
        weaker["test"] = weaker["test"].replace_probabilities(
            0.2 * weaker["test"].p + 0.8 * np.random.default_rng(run.seed).random(one_shape(run))
        )
        frame = tabulate(weaker, run.classes)
        enter(folder, frame, name="resnet", parameters=10, seed=run.seed)
    (after,) = compare_batches([folder])
    return folder, before, after


def one_shape(run):
    return run.predictions("test").p.shape


def test_an_entry_changes_nothing_that_is_said_of_other_models(study):
    _, before, after = study
    shown = before.to_dict()
    assert after.to_dict()["verdicts"] == shown["verdicts"]
    assert after.to_dict()["baselines"] == shown["baselines"]
    assert after.to_dict()["pairs"] == shown["pairs"]
    assert after.to_dict()["checks"] == shown["checks"]
    assert after.headline == before.headline
    rows = after.table[after.table["role"] != "entered"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, before.table)


def test_an_entry_is_compared_with_every_other_model_over_its_seeds(study):
    _, before, after = study
    name = "resnet (not trained here)"
    assert [pair.difference.name for pair in after.entered] != []
    assert {pair.model for pair in after.entered} == {name}
    assert {pair.difference.name for pair in after.entered} == set(before.table["model"])
    row = after.table.set_index("model").loc[name]
    assert (row["seeds"], row["role"]) == (5, "entered")
    assert row["auroc_std"] > 0
    against = {pair.difference.name: pair for pair in after.entered}
    assert against["late_average"].word == "worse"
    other = after.table.set_index("model").loc["late_average"]
    expected = row["auroc"] - other["auroc"]
    assert against["late_average"].difference.estimate == pytest.approx(expected)


def test_text_json_and_report_say_that_it_was_not_trained_here(study):
    folder, _, after = study
    values = json.loads(json.dumps(after.to_dict(), allow_nan=False))
    caveat = "resnet was not trained here: which data, splits and settings it was trained with"

    html = write_report(folder, [after]).read_text()

    assert caveat in after.to_text()
    assert "resnet (not trained here) is worse than late_average: -0." in after.to_text()
    assert any(caveat in one for one in values["caveats"])
    assert {one["model"] for one in values["entered"]} == {"resnet (not trained here)"}
    assert caveat in html
    assert html.count("resnet (not trained here)") > 5
    assert "Other frameworks" in html
    assert "Best of another framework" in html
    assert "resnet (not trained here)" in (folder / "scores.csv").read_text()
    assert "resnet (not trained here)" in after._repr_html_()


def test_a_single_seed_cannot_tell(study, tmp_path):
    folder, _, _ = study
    runs = [run for run in find_runs(folder) if run.role in ("single", "entered")]
    one_seed = [run for run in runs if run.role == "single" or run.seed == 0]
    compared = compare(one_seed)
    assert {pair.word for pair in compared.entered} == {"cannot tell"}
    assert all("needs 5 of each model" in pair.reason for pair in compared.entered)
    alone = [run for run in runs if run.role == "entered" or run.branch_names == ("time:cnn",)]
    assert compare(alone).headline == "resnet (not trained here) is worse than time:cnn"


def test_two_entries_under_one_name_need_one_size(batch, table):
    enter(batch, table, name="a", parameters=1)
    enter(batch, table, name="a", parameters=2, seed=1)

    with pytest.raises(RunError, match=r"Two models are called a \(not trained here\): their para"):
        compare(find_runs(batch))


def test_the_public_function_enters_into_the_default_folder(batch, table, tmp_path, monkeypatch):
    monkeypatch.setenv("ECGLIB_RUNS", str(tmp_path))

    entry = ecglib.enter("b", table, name="a", parameters=1)

    assert entry.path.parent == batch
    assert dataclasses.asdict(entry.details)["source"] == ""
