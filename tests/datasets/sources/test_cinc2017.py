import numpy as np
import pandas as pd
import pytest
from helpers import find_shared_data

from ecglib.datasets.sources.cinc2017 import open_cinc2017
from ecglib.datasets.writer import write_store
from ecglib.errors import DatasetError

# First sample differs from the header's, see SOURCES.md of the data.
FIRST_SAMPLE_DIFFERS = "13 44 47 66 80 97 117 131 150 158 159 186 189 192 206 225".split()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    source = open_cinc2017(find_shared_data("cinc2017"))
    return write_store(source, tmp_path_factory.mktemp("data"), progress=False)


def test_the_labels_of_the_300_records_are_as_published(store):
    selection = store.select("rhythm")
    counts = dict(zip(selection.classes, selection.y.sum(axis=0), strict=True))
    assert counts == {"normal": 148, "AF": 47, "other": 65, "noise": 40}
    assert store.summary["n_records"] == 300


def test_rows_without_a_record_are_listed(store):
    problems = pd.read_csv(store.path / "problems.csv")
    assert (problems["kind"] == "no_record").sum() == 8528 - 300
    flagged = problems.loc[problems["kind"] == "first_sample", "record"].tolist()
    assert flagged == [f"A{int(number):05d}" for number in FIRST_SAMPLE_DIFFERS]


def test_records_are_cropped_to_the_middle_or_padded_and_the_mask_shows_it(store):
    import scipy.io

    folder = find_shared_data("cinc2017")
    for row, window in store.windows.iterrows():
        original = scipy.io.loadmat(folder / f"{window['record']}.mat")["val"][0]
        found = store.read_steps([row])[0, :, 0]
        mask = store.read_measured_mask([row])[0]
        if len(original) >= 9000:
            start = (len(original) - 9000) // 2
            assert (found == original[start : start + 9000]).all()
            assert mask.all()
        else:
            assert (found[: len(original)] == original).all()
            assert (found[len(original) :] == 0).all()
            assert mask.sum() == len(original)
            assert mask[: len(original)].all()
    lengths = store.windows["n_measured"]
    assert 2700 < lengths.min() < 9000 == lengths.max()


def test_unknown_patients_give_a_caveat_and_folds_are_balanced(store):
    assert store.caveats == ("patients unknown: leakage cannot be excluded",)
    selection = store.select("rhythm")
    for part, fraction in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        counts = selection.y[selection.part == part].sum(axis=0)
        assert np.abs(counts - fraction * selection.y.sum(axis=0)).max() <= 1.0


def test_a_folder_without_the_reference_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"REFERENCE-v3\.csv is missing"):
        open_cinc2017(tmp_path)
    (tmp_path / "REFERENCE-v3.csv").write_text("A00001,N\nA00002,X\n")
    with pytest.raises(DatasetError, match=r"labels \['X'\]"):
        open_cinc2017(tmp_path)
