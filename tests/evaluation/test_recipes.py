import pytest

from ecglib.evaluation.recipes import describe_recipe_difference


def test_equal_recipes_have_no_difference():
    recipe = {"epochs": 10, "band_hz": (0.5, 40.0), "representation_options": {"a": 1}}
    assert describe_recipe_difference(recipe, dict(recipe)) == ""
    assert describe_recipe_difference({}, {}) == ""


def test_settings_that_differ_are_named_with_both_values():
    a = {"epochs": 10, "learning_rate": 0.001, "augment": ""}
    b = {"epochs": 1, "learning_rate": 0.004, "augment": "noise"}
    assert describe_recipe_difference(a, b) == (
        "epochs 10 against 1, learning_rate 0.001 against 0.004, augment none against noise"
    )
    assert describe_recipe_difference(b, a).startswith("epochs 1 against 10")


def test_a_setting_that_one_model_does_not_take_is_no_difference():
    fusion = {"epochs": 10, "options of time": {}, "options of spectrogram": {"window_s": 1}}
    assert describe_recipe_difference(fusion, {"epochs": 10, "options of time": {}}) == ""


@pytest.mark.parametrize(("n", "ending"), [(3, "c 0 against 1"), (5, "c 0 against 1, 2 more")])
def test_a_long_list_of_differences_is_cut(n, ending):
    text = describe_recipe_difference(dict.fromkeys("abcde"[:n], 0), dict.fromkeys("abcde"[:n], 1))
    assert text.startswith("a 0 against 1, b 0 against 1, ")
    assert text.endswith(ending)
