"""Against the names that PhysioNet's databases, EDF+ and aECG files are known to use."""

import timeit

import pytest
from helpers import find_shared_data

from ecglib.datasets.leads import STANDARD_12, canonicalize, match_leads, sort_leads
from ecglib.datasets.sources import _heart_vector
from ecglib.errors import RecordError

SPELLINGS = {
    "I": ["I", "i", " I ", "I.", "DI", "D1", "Lead I", "LEAD_I", "ECG I", "MDC_ECG_LEAD_I"],
    "II": ["ii", "Lead II", "lead_II", "Lead: II", "ECG Lead II", "ekg ii", "D2", "ECG-II"],
    "III": ["DIII", "D3", "MDC_ECG_ELEC_POTL_III"],
    "aVR": ["AVR", "avr", "aVr", "aV R", "Lead aVR", "MDC_ECG_LEAD_AVR"],
    "aVF": ["AVF", "ECG aVF"],
    "V1": ["v1", "V1.", "V 1", "V_1", "ECG V1"],
    "V3R": ["v3r", "MDC_ECG_LEAD_V3R"],
    "V9": ["v9"],
    "X": ["vx", "VX", "x", "MDC_ECG_LEAD_X"],
    "MLII": ["mlii", "ML II", "Lead MLII"],
    "ECG": ["ECG", "ecg ", "EKG"],
}


@pytest.mark.parametrize(
    ("name", "spelling"), [(n, s) for n, all_ in SPELLINGS.items() for s in all_]
)
def test_a_lead_has_one_name_however_it_is_spelled(name, spelling):
    assert canonicalize(spelling) == name


@pytest.mark.parametrize(
    "name",
    [
        "V",
        "V10",
        "V ECG 1",
        "-aVR",
        "Lead -aVR",
        "ECG1",
        "Lead 1",
        "CM5",
        "PLETH",
        "V1-raw",
        "Lead",
        "",
    ],
)
def test_an_unknown_name_stays_as_it_is(name):
    assert canonicalize(name) == name
    assert canonicalize(f" {name} ") == name


def test_a_column_without_a_name_is_not_a_lead():
    assert canonicalize(None) == ""
    assert match_leads(["II"], [None, "II"]) == (1,)
    with pytest.raises(RecordError, match="the record has"):
        match_leads(["II"], [None, ""])


def test_the_synthetic_dataset_spells_as_this_package_does():
    assert _heart_vector.LEADS == STANDARD_12
    assert tuple(map(canonicalize, STANDARD_12)) == STANDARD_12


def test_columns_are_in_the_order_of_the_wanted_leads():
    found = ["V2", "AVF", "aVL", "ii", "I"]
    assert match_leads(["I", "II", "aVF"], found) == (4, 3, 1)
    assert match_leads([], found) == ()
    assert match_leads(found, found) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("wanted", "found", "columns"),
    [
        (["II"], ["MLII", "II"], (1,)),
        (["II"], ["MLII", "Lead II"], (1,)),
        (["V1"], ["v1", "V1"], (1,)),
        (["MLII"], ["II", "mlii"], (1,)),
        (["MLII", "II"], ["II", "MLII"], (1, 0)),
        (["II"], ["V5", "MLII"], (1,)),
        (["MLII"], ["V5", "II"], (1,)),
        (["III", "I"], ["MLI", "MLIII"], (1, 0)),
    ],
)
def test_an_exact_name_is_preferred_then_its_spellings_then_a_modified_limb_lead(
    wanted, found, columns
):
    assert match_leads(wanted, found) == columns


@pytest.mark.parametrize("found", [["V1", "V1"], ["v1", "Lead V1"], ["I", "v1", "V1."]])
def test_a_lead_found_more_than_once_is_ambiguous(found):
    with pytest.raises(RecordError, match="2 columns match lead 'V1'") as error:
        match_leads(["V1"], found)
    assert error.value.kind == "ambiguous_lead"
    with pytest.raises(RecordError, match="2 columns"):
        match_leads(["II"], ["MLII", "mlii"])


def test_an_ambiguous_lead_that_is_not_wanted_is_ignored():
    assert match_leads(["I"], ["V1", "V1", "I"]) == (2,)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["I", "V6"], ["I", "II"]),
        (["aVR"], ["-aVR"]),  # upside down
        (["V3"], ["V3R"]),
        (["MLII", "II"], ["II"]),  # one column is not two leads
        (["II", "II"], ["II"]),
    ],
)
def test_a_missing_lead_is_named_with_what_is_there(wanted, found):
    with pytest.raises(RecordError) as error:
        match_leads(wanted, found)
    assert error.value.kind == "missing_lead"
    assert str(found) in str(error.value)
    assert repr(wanted[-1]) in str(error.value)


def test_a_similar_name_is_suggested_but_no_other_known_lead():
    with pytest.raises(RecordError, match=r"Did you mean 'MLII'\?"):
        match_leads(["MLIl"], ["V5", "MLII"])
    with pytest.raises(RecordError, match=r"Did you mean 'aVR-'\?"):
        match_leads(["aVR"], ["I", "aVR-"])
    with pytest.raises(RecordError) as error:
        match_leads(["III"], ["I", "II"])
    assert "Did you mean" not in str(error.value)


def test_standard_leads_come_first_in_their_order_then_the_others_as_given():
    found = ["V2", "RESP", "AVF", "avl", "I", "MLII"]  # MIMIC-IV-ECG has aVF before aVL
    ordered = sort_leads(found)
    assert ordered == ("I", "aVL", "aVF", "V2", "RESP", "MLII")
    assert match_leads(ordered, found) == (4, 3, 2, 0, 1, 5)
    assert sort_leads([name.upper() for name in reversed(STANDARD_12)]) == STANDARD_12


def test_a_repeated_match_costs_less_than_a_microsecond():
    """A dataset of 21,799 records names its leads in a few ways only."""
    found = tuple(name.upper() for name in STANDARD_12)
    match_leads(STANDARD_12, found)
    best_s = (
        min(timeit.repeat(lambda: match_leads(STANDARD_12, found), number=1000, repeat=20)) / 1000
    )
    assert best_s < 1e-6


@pytest.mark.parametrize(
    ("dataset", "record", "leads"),
    [
        ("mitdb", "100", ("MLII", "V5")),
        ("mitdb", "114", ("V5", "MLII")),
        ("ptbxl", "records100/00000/00001_lr", STANDARD_12),
        ("cinc2017", "A00001", ("ECG",)),
    ],
)
def test_the_leads_of_real_records_are_known(dataset, record, leads):
    header = (find_shared_data(dataset) / f"{record}.hea").read_text().splitlines()
    names = [line.split()[-1] for line in header[1:] if not line.startswith("#")]
    assert tuple(map(canonicalize, names)) == leads


def test_the_message_of_a_missing_or_ambiguous_lead_stays_short():
    found = [f"channel number {i} of a very long amplifier montage" for i in range(1000)]
    for names in (found, [*found, *["II"] * 1000]):
        with pytest.raises(RecordError) as error:
            match_leads(["II"], names)
        assert len(str(error.value)) < 2000
        assert "'II'" in str(error.value)
