"""The words of a report, each with one meaning."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ecglib.evaluation.rules import MIN_SEEDS
from ecglib.evaluation.verdict import (
    ADDS,
    ADDS_LITTLE,
    CANNOT_COMPARE,
    CANNOT_MEASURE,
    CANNOT_TELL,
    EQUALS_ENSEMBLE,
    NO_GAIN,
    WORSE,
)

GLOSSARY: Mapping[str, str] = MappingProxyType(
    {
        ADDS: "The fusion beats every single branch and every control, corrected for the number "
        "of fusions (one-sided 2.5 %).",
        ADDS_LITTLE: "It beats all of them, but a gain of the margin is excluded.",
        EQUALS_ENSEMBLE: "It beats every single branch, but a gain of the margin over an ensemble "
        "of one branch is excluded: averaging alone explains it.",
        NO_GAIN: "A gain of the margin over at least one of its rivals is excluded.",
        WORSE: "It is worse than a single branch.",
        CANNOT_TELL: f"None of these is shown, or a control is missing, or there are fewer than "
        f"{MIN_SEEDS} seeds.",
        CANNOT_MEASURE: "Too few patients decide the score for an interval.",
        CANNOT_COMPARE: "No single branch was trained with the settings of the fusion.",
        "branch": "One representation of the signal with its encoder, such as time:cnn.",
        "best branch": "The single branch with the best score on the validation split.",
        "control": "What a fusion must beat besides its branches: an ensemble of one branch as "
        "large as the fusion, and one branch with as many parameters as the fusion.",
        "baseline": "Trees on handcrafted values. Every network should beat it.",
        "entered": "Predictions of another framework. Calibration, thresholds and scores are made "
        "here; which data, splits and settings the model was trained with is not known.",
        "margin": "The smallest gain worth having, chosen before the scores were known.",
        "interval": "95 %: covers the true value in 95 of 100 studies. It contains the sampling of "
        "patients and of seeds, and of thresholds where decisions are scored.",
        "p": "Largest p value over all rivals of a fusion, adjusted over the fusions (Holm).",
        "effective patients": "How many equally important patients would give as uncertain a "
        "score. Far below the number of patients if a few have most of the positive windows.",
        "design effect": "Variance of the score over its variance if each window were of another "
        "patient.",
        "exploratory": "Not decided beforehand: a reason for a new study, not a result.",
        "seed": "One training of a model; another seed is another start and order of the windows.",
        "recipe": "All settings that models must share to be compared.",
        "caveat": "What limits every number of the dataset or run.",
    }
)
