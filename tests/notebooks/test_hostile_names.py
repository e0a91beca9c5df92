"""Names from data, opened in every page that shows them: text stays text."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import mistune
import numpy as np
import pandas as pd
import pytest
from helpers import LEADS, RATE_HZ, make_recordings
from notebook_helpers import execute, outputs
from studies import StudyFolder, write_study

from ecglib import paths, plots
from ecglib.batch.comparison import compare_batches
from ecglib.batch.report import write_report
from ecglib.batch.report.page import Page, build_section, render_page
from ecglib.datasets.schema import Task
from ecglib.datasets.sources.arrays import ArraysSource
from ecglib.datasets.writer import write_store
from ecglib.evaluation import compare_contestants
from ecglib.evaluation.simulation import StudySettings, simulate_study
from ecglib.experiment import Experiment
from ecglib.training import train

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'
MARKDOWN = "[link](javascript:alert(3)) `*_#|~` $x_1$ ![](http://x)"
FORMULA = "=HYPERLINK(1)&'\"$\\frac$"
UNDERSCORE = "_$hidden"
CONTROL = "\x1b[31mred"
HOSTILE = (SCRIPT, IMAGE, MARKDOWN, FORMULA, UNDERSCORE, CONTROL)
FORBIDDEN = {"script", "img", "iframe", "object", "embed", "base", "link", "form"}
SMALL = StudySettings(
    n_patients=60, n_validation_patients=60, n_seeds=1, n_fusions=1, has_controls=False
)


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.names, self.attributes, self.text = set(), set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {(name, value) for name, value in attrs}

    def handle_data(self, data):
        self.text += data


def check_page(page):
    """Check that a page has no element and no attribute that a name could have brought."""
    elements = Elements(page)
    assert not elements.names & FORBIDDEN
    for name, value in elements.attributes:
        assert not name.startswith("on"), name
        assert name != "src"
        assert "javascript:" not in (value or "").lower() or name == "aria-label"
    return elements


def check_outputs(notebook):
    """Check what an executed notebook shows as HTML or Markdown; return all its text."""
    text = ""
    render = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url"])
    for output in outputs(notebook):
        data = {kind: "".join(part) for kind, part in output.get("data", {}).items()}
        if "text/markdown" in data:
            text += check_page(render(data["text/markdown"])).text
        if "text/html" in data:
            text += check_page(data["text/html"]).text
    return text


@pytest.fixture(scope="module")
def hostile_store(tmp_path_factory):
    """A store whose classes, records and patients have hostile names."""
    rng = np.random.default_rng(0)
    n_records = 60
    names = [f"r{i:02d} {HOSTILE[i % 5]}" for i in range(n_records)]
    classes = (SCRIPT, IMAGE, MARKDOWN)
    labels = [[classes[i % 3]] for i in range(n_records)]
    signals = 0.3 * rng.standard_normal((n_records, 400, len(LEADS)))
    for i in range(n_records):
        signals[i] += 0.5 * np.sin(np.arange(400) / (3 + 4 * (i % 3)))[:, None]
    patients = [f"p{i // 2} {IMAGE}" for i in range(n_records)]
    table = pd.DataFrame({"record": names, "patient": patients, "labels": labels})
    task = Task(SCRIPT, "multi_label", {name: [name] for name in classes})
    source = ArraysSource("hostile", make_recordings(signals, names), table, task)
    source.caveats = (IMAGE,)
    return write_store(source, tmp_path_factory.mktemp("hostile") / "data", progress=False)


def test_the_report_of_runs_with_hostile_names(tmp_path):
    place = StudyFolder(
        runs_dir=tmp_path,
        batch=f"fusion {IMAGE.replace('/', '')}",
        dataset=SCRIPT,
        task=IMAGE,
        class_names=HOSTILE[:5],
        caveats=(SCRIPT, MARKDOWN),
    )
    folder = write_study(SMALL, place)
    page = check_page(write_report(folder, compare_batches([folder])).read_text())
    for name in (SCRIPT, IMAGE, MARKDOWN, UNDERSCORE):
        assert name in page.text


def test_the_report_of_models_with_hostile_names(tmp_path):
    """Models of another framework may have any name."""
    study = [
        dataclasses.replace(one, name=name)
        for one, name in zip(simulate_study(SMALL, seed=0), HOSTILE, strict=False)
    ]
    section = build_section(compare_contestants(study), [], tmp_path, "s1")
    page = render_page(Page(title=CONTROL, finished="", version="0", sections=(section,)))
    elements = check_page(page)
    page.encode()
    assert study[0].name in elements.text


@pytest.mark.slow
def test_the_notebooks_of_a_dataset_with_hostile_names(hostile_store, tmp_path):
    text = check_outputs(execute("01_dataset.ipynb", tmp_path, dataset=hostile_store.path))
    for name in (SCRIPT, IMAGE, MARKDOWN):
        assert name in text


@pytest.mark.slow
def test_the_notebooks_of_runs_with_hostile_names(hostile_store, tmp_path):
    common = {"task": SCRIPT, "epochs": 1, "width": 4, "feature_dim": 8, "batch_size": 16}
    for model in (
        {"branches": {"time": "cnn"}},
        {"branches": {"frequency": "mlp"}},
        {"branches": {"time": "cnn", "frequency": "mlp"}, "fusion": "late_average"},
    ):
        experiment = Experiment.from_flat(common | model, hostile_store)
        batch = tmp_path / "runs" / f"batch {MARKDOWN}".replace("/", "")
        train(hostile_store, experiment, batch=batch)
    text = check_outputs(execute("04_compare.ipynb", tmp_path, runs_dir=tmp_path / "runs"))
    for name in (SCRIPT, IMAGE, MARKDOWN):
        assert name in text
    file = tmp_path / f"{IMAGE} {UNDERSCORE}.npy"
    np.save(file, hostile_store.read(np.array([0]))[0])
    parameters = {"sampling_rate_hz": RATE_HZ, "unit": "mV", "leads": list(LEADS)}
    text = check_outputs(
        execute(
            "08_predict.ipynb", tmp_path, runs_dir=tmp_path / "runs", records=[file], **parameters
        )
    )
    assert str(file) in text
    assert f"p_{SCRIPT}" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_shows_a_name_as_it_is(name):
    escaped = plots.escape_markdown(name)
    elements = Elements(mistune.create_markdown(escape=False)(f"# {escaped}\n\n**{escaped}**"))
    assert elements.names == {"h1", "p", "strong"}
    assert elements.text.count(plots.clean_text(name)) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_figures_show_a_name_as_it_is(name):
    """Drawn by matplotlib, where a pair of $ would be a formula, or an error."""
    y = np.array([[0, 1], [1, 0], [0, 1], [1, 0]])
    classes = [name, f"{name} and $another$"]
    counts = pd.DataFrame({"train": [3, 4]}, index=classes)
    signal = np.zeros((100, 1))
    predicted = plots.PredictedClasses(
        probabilities=dict.fromkeys(classes, 0.5), decisions=classes[:1]
    )
    figures = [
        plots.plot_class_balance(counts, caveat=name),
        plots.plot_confusion(y, y, classes),
        plots.plot_roc_and_pr(y, 0.5 * y, classes),
        plots.plot_reliability(y, 0.5 * y, classes),
        plots.plot_ecg(signal, 100, [name], title=name, caveat=name),
        plots.plot_prediction(signal, 100, [name], predicted, title=name),
    ]
    for figure in figures:
        svg = plots.convert_to_svg(figure, "f", name, name)
        texts = [text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text"))]
        assert any(plots.clean_text(name) in text for text in texts)
        check_page(svg)
    legend = figures[3].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list(map(plots.clean_text, classes))


def test_no_cell_of_a_csv_file_is_a_formula(tmp_path):
    """Cells that begin like formulas are text; numbers, also as text, are read as they were."""
    names = ["=1+1", "+A1", "-cmd", "@SUM(1)", "\t=1", "-", "plain", CONTROL]
    numbers = [-1.5, 2.0, float("nan"), 1e-9, -3e8, 0.0, 7.0, -0.25]
    table = pd.DataFrame(
        {"record": names, "=class": numbers, "text": ["-0.5", "+3", "1e3", *["x"] * 5]}
    )
    paths.write_csv(tmp_path / "a.csv", table)
    read = pd.read_csv(tmp_path / "a.csv")
    assert not any(re.match(r"[=+@\t\r]|-.", name) for name in [*read["record"], *read.columns])
    assert read["record"].str.removeprefix("'").tolist()[:7] == names[:7]
    assert read["'=class"].to_numpy() == pytest.approx(numbers, rel=1e-15, nan_ok=True)
    assert read["text"].tolist()[:3] == ["-0.5", "+3", "1e3"]


def test_the_tables_of_a_report_hold_no_formula(tmp_path):
    place = StudyFolder(runs_dir=tmp_path, task=FORMULA, caveats=("@caveat",))
    folder = write_study(SMALL, place)
    write_report(folder, compare_batches([folder]))
    verdicts = pd.read_csv(folder / "verdicts.csv")
    assert set(verdicts["task"]) == {f"'{FORMULA}"}
    assert verdicts["difference"].dtype == float
    assert json.loads((folder / "comparison.json").read_text())[0]["task"] == FORMULA
