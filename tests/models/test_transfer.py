import keras
import numpy as np
import pytest
from check import build_tiny_model, compile_for_training, make_labels, make_windows, predict, scale

from ecglib.errors import ExperimentError
from ecglib.models import copy_branch_weights, set_branch_weights

TWO = {"time": "cnn", "frequency": "cnn"}


def build_pair(fusion: str):
    """Build a fusion and a model of its time branch alone with other weights, equally scaled."""
    fused = build_tiny_model(TWO, fusion, seed=1)
    single = build_tiny_model({"time": "cnn"}, "none", seed=2)
    batch = make_windows(TWO)
    scale(fused, batch)
    scale(single, {"time": batch["time"]})
    return fused, single, batch


def compute_features(model: keras.Model, batch: dict) -> np.ndarray:
    encoder = keras.Model(model.inputs, model.get_layer("time_features").output)
    return predict(encoder, {x.name: batch[x.name] for x in model.inputs})


def test_a_late_fusion_gets_the_encoder_and_the_head_of_the_branch():
    fused, single, batch = build_pair("late_weighted")
    copy_branch_weights(fused, "time", single)
    set_branch_weights(fused, [1, 0])
    expected = predict(single, {"time": batch["time"]})
    np.testing.assert_allclose(predict(fused, batch), expected, atol=1e-6)


def test_an_intermediate_fusion_gets_the_encoder_of_the_branch():
    fused, single, batch = build_pair("intermediate_concat")
    assert not np.array_equal(compute_features(fused, batch), compute_features(single, batch))
    copy_branch_weights(fused, "time", single)
    np.testing.assert_array_equal(compute_features(fused, batch), compute_features(single, batch))


def test_frozen_branches_do_not_change_in_training():
    fused, single, batch = build_pair("intermediate_concat")
    copy_branch_weights(fused, "time", single, frozen=True)
    before = compute_features(fused, batch)
    trained = compile_for_training(fused, "multi_label", "sgd")
    trained.fit(batch, make_labels("multi_label"), verbose=0)
    np.testing.assert_array_equal(compute_features(fused, batch), before)


def test_other_branches_and_other_models_are_refused():
    fused, single, _ = build_pair("late_average")
    with pytest.raises(ExperimentError, match=r"'tabular'; choose one of \['time', 'frequency'\]"):
        copy_branch_weights(fused, "tabular", single)
    with pytest.raises(ExperimentError, match="weights of shapes"):
        copy_branch_weights(fused, "frequency", single)
    early = build_tiny_model(TWO, "early_concat")
    with pytest.raises(ExperimentError, match="no encoder for the branch 'time'"):
        copy_branch_weights(early, "time", single)
