"""A run whose representation is a layer of another package."""

import sys

import numpy as np
import pytest
from layer_helpers import write_layer

from ecglib.errors import ExperimentError
from ecglib.experiment import Experiment
from ecglib.inference import Predictor
from ecglib.runs import open_run
from ecglib.runs.contestants import name_models
from ecglib.training import train


def test_a_run_is_trained_from_the_working_directory_and_predicts_where_it_is_installed(
    small_store, module_folder, monkeypatch
):
    write_layer()
    settings = {"branches": {"time_slope": "random"}, "width": 4, "feature_dim": 8, "epochs": 1}
    options = {"time_slope": {"layer": "tested_layers:Slope"}}
    experiment = Experiment.from_flat(settings | {"representation_options": options}, small_store)
    path = train(small_store, experiment, batch=module_folder / "batch").path
    del sys.modules["tested_layers"]
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(module_folder)])

    run = open_run(path)
    assert run.branch_names == ("time_slope:random",)
    with pytest.raises(ExperimentError, match="'tested_layers' is not installed here"):
        Predictor(run)
    assert "tested_layers" not in sys.modules
    monkeypatch.syspath_prepend(str(module_folder))
    stored = run.predictions("test")
    predicted = Predictor(run).predict(
        small_store.read(stored.rows),
        sampling_rate_hz=small_store.signal.sampling_rate_hz,
        leads=small_store.signal.leads,
    )
    np.testing.assert_allclose(predicted.p, stored.p, atol=1e-5)

    write_layer({"self.n :] -": "self.n :] + 0 -"})
    del sys.modules["tested_layers"]
    with pytest.raises(ExperimentError, match="has changed: the experiment was made with"):
        Predictor(run)


def test_two_versions_of_a_layer_are_two_models(module_folder):
    settings = {
        "dataset": "d",
        "fingerprint": "f",
        "task": "t",
        "branches": {"time_slope": "cnn"},
        "representation_options": {"time_slope": {"layer": "tested_layers:Slope"}},
    }
    write_layer()
    first = Experiment.from_flat(settings)
    write_layer({"self.n :] -": "self.n :] + 0 -"})
    second = Experiment.from_flat(settings)
    names = name_models([first, second])
    assert names[first.model_hash] == f"time_slope:cnn #{first.model_hash[:4]}"
    assert names[second.model_hash] == f"time_slope:cnn #{second.model_hash[:4]}"
