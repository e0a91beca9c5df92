"""Fusions without one of their representations."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecglib.errors import RunError
from ecglib.models.inputs import MISSING
from ecglib.robustness import lose_representation, measure_lost_branches
from ecglib.robustness.lost_branches import CENTERS
from ecglib.robustness.predicting import TestedModels

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lost(get_run, tested_store):
    runs = [get_run(name) for name in ("frequency", "late", "intermediate")]
    return measure_lost_branches(runs, tested_store)


def test_each_representation_of_each_fusion_is_lost_once(get_run, lost):
    late, intermediate = (
        get_run(name).experiment.model.fusion for name in ("late", "intermediate")
    )

    table = lost.to_table()

    assert list(zip(table["fusion"], table["lost"], table["replaced_by"], strict=True)) == [
        (late, "time", MISSING),
        (late, "frequency", MISSING),
        (intermediate, "frequency", CENTERS["standard"]),
        (intermediate, "tabular", CENTERS["standard"]),
    ]
    scores = (
        table["score"]
        + table["loss"]
        - [lost.scoreboard.score(f).estimate for f in table["fusion"]]
    )
    np.testing.assert_allclose(scores, 0, atol=1e-12)


def test_a_late_average_without_a_branch_is_the_other_branch(load_tested):
    network = load_tested("late").models[0].networks[0]
    rng = np.random.default_rng(0)
    inputs = {x.name: rng.normal(size=(5, *x.shape[1:])).astype("float32") for x in network.inputs}

    p = lose_representation(network, "time", may_lack_branches=True).predict(inputs, verbose=0)

    missing = inputs | {"time": np.full_like(inputs["time"], np.nan)}
    np.testing.assert_allclose(p, network.predict(missing, verbose=0), rtol=1e-6)
    assert np.isfinite(p).all()


def test_the_training_mean_makes_the_scaled_representation_zero(load_tested):
    network = load_tested("intermediate").models[0].networks[0]
    rng = np.random.default_rng(0)
    inputs = {x.name: rng.normal(size=(5, *x.shape[1:])).astype("float32") for x in network.inputs}

    p = lose_representation(network, "frequency", may_lack_branches=False)
    mean = np.asarray(network.get_layer("frequency_scaling").mean)
    given = inputs | {"frequency": np.broadcast_to(mean, inputs["frequency"].shape)}

    found = p.predict(inputs, verbose=0)
    np.testing.assert_allclose(found, network.predict(given, verbose=0), rtol=1e-6)
    assert np.abs(found - network.predict(inputs, verbose=0)).max() > 1e-4


def lose_frequency(network, run):
    return lose_representation(network, "frequency", may_lack_branches=True)


def test_the_score_is_that_of_the_remaining_branch(get_run, load_tested, tested_store, lost):
    run = get_run("late")
    stored = run.predictions("test")
    late = load_tested("late").models[0].change_networks("late without frequency", lose_frequency)

    (p,) = TestedModels(tested_store, [late]).predict(tested_store.read(stored.rows))

    loss = lost.compute_loss(run.experiment.model.fusion, "frequency")
    expected = roc_auc_score(stored.y, stored.p) - roc_auc_score(stored.y, p)
    assert loss.estimate == pytest.approx(expected, abs=1e-9)
    assert loss.low < loss.estimate < loss.high


def test_fusions_are_compared_without_a_representation_that_both_have(get_run, lost):
    late, intermediate = (
        get_run(name).experiment.model.fusion for name in ("late", "intermediate")
    )

    difference = lost.compare_losses(late, intermediate, "frequency")

    expected = (
        lost.compute_loss(intermediate, "frequency").estimate
        - lost.compute_loss(late, "frequency").estimate
    )
    assert difference.estimate == pytest.approx(expected)


def test_without_a_fusion_no_branch_can_be_lost(get_run, tested_store):
    with pytest.raises(RunError, match="None of the runs is a fusion"):
        measure_lost_branches([get_run("frequency")], tested_store)
