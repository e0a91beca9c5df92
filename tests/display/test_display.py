"""What Jupyter shows of datasets, experiments, runs, comparisons and predictions."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from contestant_helpers import make_contestant, make_fusion, make_seeds
from helpers import LEADS, RATE_HZ, make_recordings

import ecglib
from ecglib._display import Listing
from ecglib.evaluation.comparison import compare_contestants

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'
FORMULA = "$\\frac{1}{2}$ <b>&amp;"
CONTROL = "\x1b[31mred"
HOSTILE = (SCRIPT, IMAGE, FORMULA)


class Elements(HTMLParser):
    """Elements, attributes and text of a piece of HTML; every element is closed."""

    VOID = {"br", "wbr", "hr"}

    def __init__(self, page):
        super().__init__()
        self.names, self.attributes, self.text, self.open = set(), [], "", []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def show(shown):
    """The HTML of an object, checked for what no name may bring and for colors of the page."""
    page = shown._repr_html_()
    elements = Elements(page)
    assert not elements.names & {"script", "img", "iframe", "b", "form", "object", "link"}
    for name, value in elements.attributes:
        assert not name.startswith("on"), name
        assert name != "src"
        if name == "style":  # the page decides the color of text and of what is behind it
            assert not re.search(r"(^|[; ])(color|background)", value), value
    assert "\x1b" not in page
    assert page.startswith('<div class="tex2jax_ignore mathjax_ignore"')
    return elements


@pytest.fixture(scope="module")
def hostile_store(tmp_path_factory):
    rng = np.random.default_rng(0)
    n_records = 60
    names = [f"r{i:02d} {HOSTILE[i % 3]}" for i in range(n_records)]
    signals = 0.3 * rng.standard_normal((n_records, 400, len(LEADS)))
    table = pd.DataFrame(
        {
            "record": names,
            "patient": [f"p{i} {IMAGE}" for i in range(n_records)],
            "labels": [[HOSTILE[i % 3]] for i in range(n_records)],
        }
    )
    task = ecglib.Task(SCRIPT, "multi_label", {name: [name] for name in HOSTILE})
    source = ecglib.ArraysSource("hostile", make_recordings(signals, names), table, task)
    source.caveats = (IMAGE, FORMULA)
    return ecglib.write_store(source, tmp_path_factory.mktemp("data"), progress=False)


@pytest.fixture(scope="module")
def run(hostile_store, tmp_path_factory):
    return ecglib.train(
        hostile_store,
        branches={"frequency": "mlp"},
        epochs=1,
        width=4,
        feature_dim=8,
        batch=tmp_path_factory.mktemp("runs"),
    )


def test_a_dataset_shows_sizes_classes_and_caveats(hostile_store):
    shown = show(hostile_store)

    counts = hostile_store.select(hostile_store.default_task).count_windows()
    for text in ("60 records, 60 windows, 60 patients", "4 s at 100 Hz", *HOSTILE):
        assert text in shown.text
    for count in counts.to_numpy().ravel():
        assert str(count) in shown.text
    assert "60 windows of 4 s at 100 Hz, 3 leads, 60 patients" in repr(hostile_store)
    assert IMAGE in repr(hostile_store)


def test_an_experiment_shows_what_differs_from_the_defaults(run):
    shown = show(run.experiment)

    assert "frequency:mlp" in shown.text
    assert SCRIPT in shown.text
    assert re.search(r"width\s+4", shown.text)
    assert "learning_rate" not in shown.text


def test_a_run_shows_each_score_with_its_interval(run):
    shown = show(run)

    for split in ("validation", "test"):
        score = run.metrics[split]["macro"]["auroc"]
        text = f"{score['estimate']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
        assert text in shown.text
    for text in (*HOSTILE, IMAGE, "Caveats: "):
        assert text in shown.text
    assert text in repr(run) or IMAGE in repr(run)


def test_the_predictions_of_a_split_show_their_numbers(run):
    predictions = run.predictions("test")

    shown = show(predictions)

    assert f"{predictions.n_windows} windows of {predictions.n_patients} patients" in shown.text
    assert f"{predictions.p[:, 0].mean():.3f}" in shown.text
    assert repr(predictions).startswith(f"Predictions({predictions.n_windows} windows of")


def test_predicted_records_show_probabilities_decisions_and_refusals(run, hostile_store):
    signals = [hostile_store.read([0])[0], np.zeros((20, 3))]

    predicted = run.predict(
        signals, sampling_rate_hz=RATE_HZ, leads=LEADS, names=[f"{IMAGE} {CONTROL}", SCRIPT]
    )

    shown = show(predicted)
    assert "1 windows predicted, 1 records refused" in shown.text
    assert IMAGE in shown.text
    assert f"{predicted.p[0, 0]:.3f}" in shown.text
    assert predicted.refused[0].detail in shown.text
    assert predicted.refused[0].detail in repr(predicted)


def make_comparison(*fusions):
    contestants = [
        *make_seeds(make_contestant, SCRIPT, branches=("time:cnn",), caveats=(IMAGE,)),
        *make_seeds(make_contestant, FORMULA, branches=("frequency:mlp",), strength=0.5),
    ]
    for name in fusions:
        contestants += make_seeds(make_fusion, 1.4, name, ("time:cnn", "frequency:mlp"))
    return compare_contestants(contestants, dataset=IMAGE, task=SCRIPT)


@pytest.mark.parametrize("fusions", [(), (IMAGE, FORMULA + "2")])
def test_a_comparison_shows_table_verdicts_and_a_figure_with_its_alternative_text(fusions):
    comparison = make_comparison(*fusions)

    shown = show(comparison)

    assert {"svg", "title", "desc", "table", "li"} <= shown.names
    assert ("role", "img") in shown.attributes
    labelled = dict(shown.attributes)["aria-labelledby"].split()
    assert all(("id", name) in shown.attributes for name in labelled)
    assert comparison.headline in shown.text
    sentences = [one.describe() for one in comparison.verdicts] + comparison.describe_pairs()
    assert len(sentences) == (len(fusions) or 1)
    for sentence in sentences:
        assert sentence in shown.text
    for score in comparison.format_scores()["macro AUROC"]:
        assert score in shown.text
    assert repr(comparison) == comparison.to_text()


def test_two_comparisons_on_one_page_have_different_identifiers():
    pages = [make_comparison(name)._repr_html_() for name in ("late_average", "late_product")]

    first, second = (set(re.findall(r'\bid="([^"]+)"', page)) for page in pages)
    assert first
    assert second
    assert not first & second


def test_a_listing_is_a_mapping_with_one_line_for_each_name():
    listing = Listing("Names", {SCRIPT: FORMULA, "b": "second"})

    assert SCRIPT in show(listing).text
    assert FORMULA in show(listing).text
    assert list(listing) == [SCRIPT, "b"]
    assert repr(listing).splitlines()[1].split(maxsplit=1)[1].endswith(FORMULA)


def test_showing_a_dataset_does_not_import_keras(hostile_store):
    code = (
        f"import sys, ecglib; ecglib.open_dataset({str(hostile_store.path)!r})._repr_html_(); "
        "print('keras' in sys.modules)"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.strip() == "False"
