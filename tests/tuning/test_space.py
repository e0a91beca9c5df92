"""The search space: within the bounds of the settings, conditional, without what is fixed."""

import keras_tuner
import pytest

from ecglib.errors import ExperimentError
from ecglib.experiment import Experiment
from ecglib.experiment.config import list_fields, list_settings
from tuning.oracles import Proposer
from tuning.search import list_search_settings
from tuning.space import (
    BANDS_HZ,
    FUSION_OPTIONS,
    LOG_RANGES,
    VALUES,
    Space,
    list_searched,
    suggest,
)

BASE = {"dataset": "small", "fingerprint": "0123", "task": "letters"}


def draw(space, n):
    """Draw suggestions at random, as settings."""
    hp = keras_tuner.HyperParameters()
    suggest(hp, space)
    proposer, found = Proposer("random", hp, 0, 4), []
    for _ in range(n):
        drawn = hp.copy()
        drawn.values = dict(proposer.propose({}).values)
        found.append(suggest(drawn, space))
    return found


@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
def test_every_value_of_the_space_is_accepted_and_reached(kind):
    space = Space(kind=kind, crops_s=(0.0, 2.5), bands_hz=BANDS_HZ)
    drawn = draw(space, 400)
    for settings in drawn:
        Experiment.from_flat(BASE | settings)
    for name in list_searched():
        if (
            name in LOG_RANGES
            or name == "branches"
            or (name, kind)
            == (
                "class_weights",
                "multi_label",
            )
        ):
            continue
        values = {str(settings[name]) for settings in drawn if name in settings}
        choices = VALUES.get(name) or list_settings()[name].choices
        assert values >= {str(choice) for choice in choices}, name
        assert len(values) > 1, name


def test_options_of_fusions_are_suggested_to_their_fusions_only():
    for settings in draw(Space(), 300):
        for name in FUSION_OPTIONS:
            families = list_settings()[name].fusion_families
            assert (name in settings) == settings["fusion"].startswith(families)
    searched_or_given = set(FUSION_OPTIONS) | {"missing_branches"}  # a requirement, not a choice
    options = {name for name, one in list_settings().items() if one.fusion_families}
    assert options == searched_or_given


def test_a_setting_that_is_fixed_is_not_searched():
    fixable = set(list_search_settings()) & set(list_searched())
    assert len(fixable) > 10
    for name in sorted(fixable):
        field = list_fields()[name]
        value = {} if name == "augment" else field.default
        space = Space(fixed={name: value}, kind="multi_class", crops_s=(0.0, 2.5))
        assert all(name not in settings for settings in draw(space, 5)), name


def test_balanced_sampling_and_class_weights_exclude_each_other():
    drawn = draw(Space(kind="multi_class"), 100)
    assert all("class_weights" in s for s in drawn if s["sampling"] == "uniform")
    assert not any("class_weights" in s for s in drawn if s["sampling"] == "balanced")
    fixed = draw(Space(kind="multi_class", fixed={"class_weights": "sqrt"}), 10)
    assert not any("sampling" in settings for settings in fixed)


def test_the_space_of_a_dataset_without_a_table_has_no_tabular_branch(small_store):
    space = Space.from_dataset(small_store, "letters", {})
    assert ("tabular" in space.representations) == bool(small_store.default_tabular)
    nyquist_hz = small_store.signal.sampling_rate_hz / 2
    assert all(max(band) < nyquist_hz for band in space.bands_hz)


def test_a_space_takes_representations_that_fixed_options_name(small_store):
    fixed = {"representation_options": {"spectrogram_fine": {"hop_s": 0.08}}}
    space = Space.from_dataset(small_store, "letters", fixed)
    drawn = [settings for settings in draw(space, 30) if "spectrogram_fine" in settings["branches"]]
    assert {settings["branches"]["spectrogram_fine"] for settings in drawn} >= {"cnn2d"}
    for settings in drawn[:3]:
        Experiment.from_flat({"task": "letters"} | settings | fixed, small_store)


def test_a_space_takes_encoders_and_fusions_of_other_packages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = "def encode(x): pass\ndef late_mine(branches): pass\n"
    (tmp_path / "tested_space.py").write_text(source)
    space = Space().extend({"time": ["tested_space:encode"]}, ["tested_space:late_mine"])
    hp = keras_tuner.HyperParameters()
    suggest(hp, space)
    values = {one.name: one.values for one in hp.space if one.name in ("time_encoder", "fusion")}
    assert values["time_encoder"][-1].startswith("tested_space:encode@")
    assert values["fusion"][-1].startswith("tested_space:late_mine@")
    pinned = space.encoders["time"]
    assert space.extend({"time": ["tested_space:encode", *pinned]}, []).encoders["time"] == pinned
    with pytest.raises(ExperimentError, match="no module 'nowhere'"):
        Space().extend({"time": ["nowhere:encode"]}, [])
    with pytest.raises(ExperimentError, match="Did you mean 'time'"):
        Space().extend({"tim": ["tested_space:encode"]}, [])
