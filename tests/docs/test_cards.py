"""The cards of datasets and models hold what is computed now, and what is published."""

import json
import sys
from pathlib import Path

import pytest

from docs.cards import compute, measure_models
from ecglib.datasets import prepare
from ecglib.experiment.registry import FUSIONS, NO_FUSION, REPRESENTATIONS

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))  # as docs/conf.py does

from generate import dataset_cards, model_cards  # noqa: E402

CARDS = dataset_cards.read_cards()
FIGURES = json.loads(model_cards.FIGURES.read_text())


def count_published(task, name):
    """Windows of a class on the card, in all splits together."""
    return sum(one["windows"] for one in task["classes"][name]["splits"].values())


@pytest.fixture(scope="module")
def small_store(tmp_path_factory):
    return prepare(
        "synthetic",
        data_dir=tmp_path_factory.mktemp("data"),
        progress=False,
        options={"n_patients": 30},
    )


@pytest.mark.slow
def test_the_card_of_a_synthetic_dataset_is_what_is_computed_now(tmp_path):
    dataset = prepare("synthetic_evidence", data_dir=tmp_path, progress=False)

    card = compute.compute_card(dataset, CARDS["synthetic_evidence"]["command"])

    assert card == CARDS["synthetic_evidence"]


def test_a_card_counts_the_windows_and_patients_of_the_window_table(small_store):
    card = compute.compute_card(small_store, "")

    found = card["tasks"]["superdiagnostic"]
    windows = small_store.windows
    for split in ("train", "validation", "test"):
        rows = windows[windows["part"] == split]
        mi = rows[rows["labels"].map(lambda labels: "MI" in labels)]
        counts = found["classes"]["MI"]["splits"][split]
        assert found["splits"][split] == {
            "windows": len(rows),
            "patients": rows["patient"].nunique(),
        }
        assert (counts["windows"], counts["patients"]) == (len(mi), mi["patient"].nunique())
        top = mi["patient"].value_counts()
        assert list(counts["top"].values()) == top.tolist()[: compute.N_TOP]
        assert all(top[patient] == n for patient, n in counts["top"].items())


# de Chazal et al. 2004; the card counts beats near the ends of a record apart.
PUBLISHED_BEATS = {
    "DS1": {"N": 45866, "S": 944, "V": 3788, "F": 415},
    "DS2": {"N": 44259, "S": 1837, "V": 3221, "F": 388},
}


@pytest.mark.parametrize(
    ("data_set", "splits"), [("DS1", ("train", "validation")), ("DS2", ("test",))]
)
def test_the_beats_of_mitdb_are_the_published_ones(data_set, splits):
    card = CARDS["mitdb"]

    counted = {
        name: sum(one["splits"][split]["windows"] for split in splits)
        + card["excluded"].get(f"{name} beats at an edge, {data_set}", 0)
        for name, one in card["tasks"]["aami"]["classes"].items()
    }

    assert counted == PUBLISHED_BEATS[data_set]


def test_the_card_of_mitdb_names_the_records_that_dominate_a_class():
    classes = CARDS["mitdb"]["tasks"]["aami"]["classes"]

    fractions = {
        name: {
            patient: n / classes[name]["splits"]["test"]["windows"]
            for patient, n in classes[name]["splits"]["test"]["top"].items()
        }
        for name in "SF"
    }

    assert fractions["S"]["232"] == pytest.approx(0.75, abs=0.005)
    assert fractions["F"]["213"] == pytest.approx(0.93, abs=0.005)
    assert CARDS["mitdb"]["n_patients"] == 43  # 44 records, of which 201 and 202 are one person


def test_the_labels_of_ptbxl_are_the_published_ones():
    labelled = CARDS["ptbxl"]["labelled"]

    task = labelled["tasks"]["superdiagnostic"]

    published = {"NORM": 9514, "MI": 5469, "STTC": 5235, "CD": 4898, "HYP": 2649}
    assert {name: count_published(task, name) for name in published} == published
    assert (labelled["n_records"], labelled["n_patients"]) == (21799, 18869)
    assert task["splits"]["test"]["windows"] == 2158  # of the public benchmark, version 1.0.3
    assert sum(one["windows"] for one in task["splits"].values()) == 21799 - 411


def test_the_labels_of_cinc2017_are_the_published_ones():
    task = CARDS["cinc2017"]["labelled"]["tasks"]["rhythm"]

    published = {"normal": 5076, "other": 2415, "AF": 758, "noise": 279}

    assert {name: count_published(task, name) for name in published} == published


def test_a_card_of_a_part_says_of_which_part():
    text = dataset_cards.format_card(CARDS["ptbxl"])

    assert "signals of 500 of 21,799 records" in text
    assert "signals of" not in dataset_cards.format_card(CARDS["mitdb"])


@pytest.mark.parametrize("name", sorted(CARDS))
def test_every_card_has_a_page_that_includes_it_and_its_command_names_no_folder(name):
    page = (DOCS / "cards" / f"{name}.md").read_text()

    assert f"generated/cards/{name}{dataset_cards.SUFFIX}" in page
    assert CARDS[name]["command"].startswith(f"python -m docs.cards.compute {name}")
    assert "/" not in CARDS[name]["command"]


def test_the_model_cards_show_every_encoder_and_fusion(tmp_path):
    model_cards.write_pages(tmp_path)

    pages = {path.stem: path.read_text() for path in (tmp_path / "models").iterdir()}
    for group in model_cards.group_encoders():
        page = pages[f"encoders_{group[0]}"]
        for encoder in REPRESENTATIONS[group[0]].encoders:
            assert f"\n## `{encoder}`\n" in page
            assert page.count(f"| [`{encoder}`]") == len(group)
    assert all(f"\n## `{name}`\n" in pages["fusions"] for name in FUSIONS)
    assert "arXiv:1909.04939" in pages["encoders_time"]  # from the docstring of inception_time
    models = (DOCS / "reference" / "models.md").read_text()
    assert all(f"../generated/models/{name}\n" in models for name in pages)


@pytest.mark.parametrize(
    ("representation", "encoder"), [("time", "cnn"), ("frequency", "mlp"), ("tabular", "mlp")]
)
def test_the_figures_of_an_encoder_are_those_of_the_model_that_is_built_now(
    representation, encoder
):
    shapes = {name: tuple(shape) for name, shape in FIGURES["shapes"]["synthetic"].items()}

    model = measure_models.build(shapes, {representation: encoder}, NO_FUSION)

    figures = FIGURES["encoders"][representation][encoder]["synthetic"]
    assert measure_models.count(model) == figures
    assert figures["parameters"] == sum(weight.numpy().size for weight in model.weights)


def test_the_shapes_of_the_model_cards_are_those_of_the_representations():
    for dataset, shapes in FIGURES["shapes"].items():
        computed = measure_models.compute_shapes(dataset)
        assert {name: list(shape) for name, shape in computed.items()} == shapes
