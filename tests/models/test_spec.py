import dataclasses

import pytest

from ecglib.errors import ExperimentError
from ecglib.models import ModelSpec

GOOD = ModelSpec(
    branches={"time": "cnn", "frequency": "cnn"},
    fusion="late_average",
    n_classes=3,
    kind="multi_class",
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion": "late_averag"}, "'late_averag'.*Did you mean 'late_average'"),
        ({"fusion": "none"}, "fusion='none' with the branches"),
        ({"branches": {"time": "cnn"}}, "use fusion='none'"),
        ({"branches": {"time": "cnn_lstm", "frequency": "cnn"}}, "Did you mean 'cnn_bilstm'"),
        ({"branches": {"tim": "cnn", "frequency": "cnn"}}, "Did you mean 'time'"),
        ({"branches": {"handcrafted": "random_forest"}, "fusion": "none"}, "'handcrafted'"),
        ({"branches": {}}, "branches={} is empty"),
        ({"kind": "multilabel"}, "Did you mean 'multi_label'"),
        ({"n_classes": 1}, "n_classes=1 must be at least 2"),
        ({"width": 0}, "width=0"),
        ({"feature_dim": 0}, "feature_dim=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        (
            {"fusion": "early_concat", "branch_dropout": 1.0},
            "branch_dropout=1.0 must be",
        ),
        ({"branch_dropout": 0.2}, "branch_dropout=0.2 with fusion='late_average'"),
        (
            {"branches": {"time": "cnn"}, "fusion": "none", "missing_branches": True},
            "Use missing_branches=False",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ExperimentError, match=message):
        dataclasses.replace(GOOD, **changes)


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ({"time_2": "cnn"}, r"called \['time_2'\], expected \['time'\]"),
        ({"time": "cnn", "time_3": "cnn"}, "without a gap"),
        ({"time": "cnn", "time_1": "cnn"}, "'time_1'.*numbered from 2"),
        ({"time": "cnn", "time_2": "cnn2d"}, r"branches\['time_2'\]='cnn2d', expected one of"),
    ],
)
def test_further_branches_of_a_representation_are_numbered(branches, message):
    with pytest.raises(ExperimentError, match=message):
        dataclasses.replace(GOOD, branches=branches)
