"""The registry's names are those of what exists."""

import importlib

import pytest

from ecglib.experiment import registry
from ecglib.experiment.config import list_settings

PLACES = [
    *(
        ("ecglib.models.encoders", place)
        for representation in registry.REPRESENTATIONS.values()
        for place in representation.encoders.values()
    ),
    *(("ecglib.models.fusion", place) for place in registry.FUSIONS.values()),
    *(("ecglib.representations", r.layer) for r in registry.REPRESENTATIONS.values()),
    *(("ecglib.preprocessing", f"augmentation.{name}") for name in registry.AUGMENTATIONS.values()),
]


@pytest.mark.parametrize(("package", "place"), PLACES, ids=str)
def test_every_name_has_its_implementation(package, place):
    module, name = place.split(".")
    assert callable(getattr(importlib.import_module(f"{package}.{module}"), name))


def test_every_public_encoder_and_fusion_is_registered():
    for package, places in (
        ("ecglib.models.encoders", {p for pkg, p in PLACES if pkg == "ecglib.models.encoders"}),
        ("ecglib.models.fusion", set(registry.FUSIONS.values())),
    ):
        for module in {place.split(".")[0] for place in places}:
            path = f"{package}.{module}"
            for name, value in vars(importlib.import_module(path)).items():
                takes_model_input = name.startswith(("early_", "intermediate_", "late_"))
                if getattr(value, "__module__", "") == path and takes_model_input:
                    assert f"{module}.{name}" in places


def test_every_list_of_choices_of_a_setting_is_the_registry_s():
    lists = [value for name, value in vars(registry).items() if name.isupper()]
    for name, setting in list_settings().items():
        if setting.choices and name != "allow_leaks":
            assert any(setting.choices is one for one in lists), name
