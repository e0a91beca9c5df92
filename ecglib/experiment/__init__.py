"""Everything that decides a result, as plain values, and its checks before training."""

from ecglib.experiment.config import (
    Experiment,
    describe_settings,
    find_setting_problems,
)
from ecglib.experiment.contract import Contract, Processing
from ecglib.experiment.environment import Environment, describe_environment
from ecglib.experiment.preflight import (
    ExperimentChecker,
    check_experiment,
    find_split_problems,
    find_tabular_columns,
    select_windows,
)

__all__ = [
    "Contract",
    "Environment",
    "Experiment",
    "ExperimentChecker",
    "Processing",
    "check_experiment",
    "describe_environment",
    "describe_settings",
    "find_setting_problems",
    "find_split_problems",
    "find_tabular_columns",
    "select_windows",
]
