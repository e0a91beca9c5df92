"""The report of simulated batches: what it says, what it escapes, what it is made of."""

import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from studies import StudyFolder, write_study

from ecglib.batch.comparison import compare_batches
from ecglib.batch.report import write_report
from ecglib.batch.report.glossary import GLOSSARY
from ecglib.batch.report.published import PUBLISHED, find_published
from ecglib.errors import RunError
from ecglib.evaluation import simulation
from ecglib.evaluation.simulation import StudySettings
from ecglib.evaluation.verdict import WORDS, ComparisonSettings
from ecglib.runs import Run, write_description

HELPS = StudySettings(n_patients=250, n_fusions=2, gain=0.05, has_thresholds=True)
SMALL = StudySettings(
    n_patients=60, n_validation_patients=60, n_seeds=1, n_fusions=1, has_controls=False
)


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of each."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "wbr":
            return
        self.texts.append("")

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data

    def find(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def read_text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def report_on(folder, settings=None):
    return write_report(folder, compare_batches([folder], settings))


@pytest.fixture(scope="module", name="report")
def write_helpful_report(tmp_path_factory):
    """The report of a batch in which both fusions help."""
    folder = write_study(HELPS, StudyFolder(runs_dir=tmp_path_factory.mktemp("runs")))
    return report_on(folder)


@pytest.fixture(scope="module", name="page")
def read_page(report):
    return Page(report.read_text())


@pytest.fixture(scope="module", name="comparison")
def compare(report):
    (comparison,) = compare_batches([report.parent])
    return comparison


def test_the_first_screen_has_headline_caveats_key_models_verdicts_and_checks(page, comparison):
    text = page.read_text().split("Verdicts, largest gain first")[0]
    assert comparison.headline.split(": ")[1] in text
    assert "synthetic data" in text
    for title in ("Best branch on validation", "Best control", "Best fusion", "Baseline"):
        assert title in text
    for check in comparison.checks:
        assert check.title in text
        assert check.detail in text
    words = {verdict.word for verdict in comparison.verdicts}
    assert words == {"adds"}
    assert text.count("+ adds") >= 2


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        dataclasses.replace(SMALL, n_patients=6),
        dataclasses.replace(SMALL, n_fusions=0),
        dataclasses.replace(SMALL, n_fusions=3, n_seeds=5, gain=-0.1),
    ],
)
def test_every_report_has_a_headline_of_at_most_twelve_words(settings, tmp_path):
    report = report_on(write_study(settings, StudyFolder(runs_dir=tmp_path)))
    headline = re.search(r'<h2 class="headline">(.*?)</h2>', report.read_text())[1]
    words = re.sub(r"<wbr>", "", headline)
    words = re.sub(r"<[^>]+>", " ", words).split()
    assert 3 <= len(words) <= 12


def test_a_fusion_of_many_branches_has_a_short_name_in_the_headline(comparison):
    branches = ("time:cnn", "frequency:cnn", "spectrogram:cnn2d", "scalogram:cnn2d", "tabular:mlp")
    names = [f"{one}({' + '.join(branches)})" for one in ("early_concat", "late_average")]
    verdicts = [
        dataclasses.replace(verdict, fusion=name, branches=branches)
        for verdict, name in zip(comparison.sort_verdicts(), names, strict=True)
    ]
    headline = dataclasses.replace(comparison, verdicts=verdicts).headline
    assert headline.startswith("early_concat of 5 branches helps (and 1 more): +0.")
    assert len(headline.split()) <= 12


def test_nothing_is_loaded_from_elsewhere(page):
    loaded = {"script", "link", "iframe", "object", "embed"}
    assert not loaded & {tag for tag, _ in page.elements}
    assert not re.search(r"@import|@font-face", page.text)
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            assert "//" not in (attributes.get(name) or "")
    policy = [one for one in page.find("meta") if one.get("http-equiv")]
    assert policy[0]["content"].startswith("default-src 'none'")


def test_every_link_leads_to_an_executed_notebook_or_a_part_of_the_page(page, report):
    identifiers = [one["id"] for _, one in page.elements if one.get("id")]
    assert len(identifiers) == len(set(identifiers))
    notebooks = set()
    for link in page.find("a"):
        href = link["href"]
        if href.startswith("#"):
            assert href[1:] in identifiers
        else:
            notebooks.add(href)
            assert (report.parent / unquote(href)).is_file()
    assert len(notebooks) == len(list(report.parent.glob("*/train.ipynb")))


def test_every_figure_has_alternative_text(page):
    figures = page.find("svg")
    assert len(figures) >= 8
    texts = dict(re.findall(r'<(?:title|desc) id="([^"]+)">([^<]+)<', page.text))
    for figure in figures:
        assert figure["role"] == "img"
        assert all(texts[one] for one in figure["aria-labelledby"].split())


def test_text_of_data_is_escaped(tmp_path):
    attack = "<script>alert(1)</script>"
    place = StudyFolder(
        runs_dir=tmp_path,
        batch="fusion",
        dataset="<b>data</b>",
        task='"><img src=x>',
        class_names=(attack, "A & B", "</svg><p>", "$x_1$", "'\""),
        caveats=("<i>synthetic</i>",),
    )
    report = report_on(write_study(SMALL, place))
    page = Page(report.read_text())
    assert not {"script", "img", "i"} & {tag for tag, _ in page.elements}
    assert attack in page.read_text()
    assert "<i>synthetic</i>" in page.read_text()
    latex = (report.parent / "scores.tex").read_text()
    assert "late\\_average" in latex


def test_the_tables_have_the_numbers_of_the_comparison(report, comparison):
    folder = report.parent
    scores = pd.read_csv(folder / "scores.csv", keep_default_na=False, na_values=[""])
    assert scores["model"].tolist() == comparison.table["model"].tolist()
    assert scores["auroc_low"].to_numpy() == pytest.approx(comparison.table["auroc_low"])
    verdicts = pd.read_csv(folder / "verdicts.csv")
    assert set(verdicts["dataset"]) == {"simulated-0123"}
    largest = verdicts.groupby("fusion")["p"].max().sort_values()
    adjusted = verdicts.groupby("fusion")["p_adds"].first()[largest.index]
    # Holm over two fusions: twice the smaller p, and at least that for the larger.
    smaller = min(1, 2 * largest.iloc[0])
    assert adjusted.tolist() == pytest.approx([smaller, max(smaller, largest.iloc[1])])
    assert json.loads((folder / "comparison.json").read_text()) == json.loads(
        json.dumps([comparison.to_dict()], allow_nan=False)
    )


def test_the_latex_tables_are_tables(report):
    for name in ("scores.tex", "verdicts.tex"):
        text = (report.parent / name).read_text()
        assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 1
        assert not re.search(r"(?<!\\)_", text.split("\\begin{tabular}")[1])


def test_each_task_of_a_folder_has_a_headline_of_its_own(tmp_path):
    write_study(SMALL, StudyFolder(runs_dir=tmp_path))
    folder = write_study(SMALL, StudyFolder(runs_dir=tmp_path, task="rhythm"), seed=1)
    report = report_on(folder)
    page = Page(report.read_text())
    headlines = re.findall(r'<h2 class="headline">', page.text)
    assert len(headlines) == 2
    assert {"#comparison-1", "#comparison-2"} <= {link["href"] for link in page.find("a")}
    assert pd.read_csv(folder / "scores.csv")["task"].nunique() == 2
    assert len(json.loads((folder / "comparison.json").read_text())) == 2


def test_a_cross_validation_is_reported(tmp_path):
    settings = dataclasses.replace(SMALL, n_folds=3)
    report = report_on(write_study(settings, StudyFolder(runs_dir=tmp_path)))
    text = Page(report.read_text()).read_text()
    assert "3 folds, each held out once, 60 patients" in text
    assert "seed 0 fold 3" in text


def test_a_multi_class_task_has_confusion_matrices(tmp_path):
    place = StudyFolder(runs_dir=tmp_path, kind="multi_class")
    text = Page(report_on(write_study(SMALL, place)).read_text()).read_text()
    assert re.search(r"Confusion matrix of (time|frequency|spectrogram):\w+, seed 0", text)
    assert "Reliability of" not in text


def test_many_classes_are_rows_and_not_drawn(tmp_path, monkeypatch):
    classes = tuple(f"C{k}" for k in range(20))
    monkeypatch.setattr(simulation, "CLASSES", classes)
    monkeypatch.setattr(simulation, "PREVALENCES", (0.3,) * len(classes))
    settings = dataclasses.replace(SMALL, n_fusions=4)
    page = Page(report_on(write_study(settings, StudyFolder(runs_dir=tmp_path))).read_text())
    assert "Not drawn for more than 12 classes" in page.read_text()
    assert "are in comparison.json" in page.read_text()
    widest = max(row.count("<t") for row in re.findall(r"<tr>(.*?)</tr>", page.text))
    assert widest <= 12


def test_a_batch_without_controls_says_what_is_missing(tmp_path):
    settings = dataclasses.replace(SMALL, n_seeds=5)
    report = report_on(write_study(settings, StudyFolder(runs_dir=tmp_path)))
    text = Page(report.read_text()).read_text()
    assert "The batch has no ensemble of 3 x time:cnn" in text
    assert "Best control" not in text


def test_a_report_is_only_rewritten_if_something_has_changed(tmp_path):
    folder = write_study(SMALL, StudyFolder(runs_dir=tmp_path))
    report = report_on(folder)
    report.write_text("kept")
    assert report_on(folder).read_text() == "kept"
    assert "macro F1, margin" in report_on(folder, ComparisonSettings(metric="f1")).read_text()
    report.write_text("kept")
    metrics = next(folder.glob("*/metrics.json"))
    run = Run(metrics.parent)
    metrics.write_text(metrics.read_text() + "\n")
    write_description(run.path, run.experiment, run.environment)
    assert report_on(folder, ComparisonSettings(metric="f1")).read_text() != "kept"


def test_the_same_batch_gives_the_same_report(tmp_path):
    report = report_on(write_study(SMALL, StudyFolder(runs_dir=tmp_path)))
    before = report.read_text()
    report.unlink()
    assert report_on(report.parent).read_text() == before


def test_a_folder_without_runs_has_no_report(tmp_path):
    with pytest.raises(RunError, match="No finished run"):
        write_report(tmp_path, [])


def test_writing_a_report_imports_no_tensorflow(tmp_path):
    folder = write_study(SMALL, StudyFolder(runs_dir=tmp_path))
    code = (
        "import sys; from pathlib import Path; from ecglib.batch.report import write_report; "
        "from ecglib.batch.comparison import compare_batches; "
        f"folder = Path({str(folder)!r}); write_report(folder, compare_batches([folder])); "
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"


def test_running_batches_does_not_import_what_draws():
    code = "import sys, ecglib.batch; print('matplotlib' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "False"


def test_the_glossary_explains_every_verdict():
    assert set(WORDS) <= set(GLOSSARY)


@pytest.mark.parametrize(
    ("changes", "is_comparable"),
    [
        ({}, True),
        ({"n_windows": 250}, False),
        ({"dataset": "simulated-0123"}, False),
        ({"task": "rhythm"}, False),
        ({"n_folds": 5}, False),
    ],
)
def test_published_scores_stand_only_beside_the_same_test(comparison, changes, is_comparable):
    complete = dataclasses.replace(
        comparison, dataset="ptbxl-0123", task="superdiagnostic", n_windows=2158
    )
    found = find_published(dataclasses.replace(complete, **changes))
    assert found == (PUBLISHED[0] if is_comparable else None)


def test_no_published_score_is_shown_for_simulated_data(page):
    assert "Strodthoff" not in page.text


def test_the_template_and_style_are_part_of_the_package():
    import tomllib

    root = Path(__file__).parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    (pattern,) = data["package-data"]["ecglib.batch.report"]
    files = {path.name for path in (root / "ecglib/batch/report").glob(pattern)}
    assert files == {"report.html.jinja", "report.css"}
