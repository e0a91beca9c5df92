"""Why a model says what it says, and whether the explanation holds.

A `ClassScore` is what is explained: the uncalibrated logit of one class for some windows, from the
signal in mV or from the representations. Each method returns an `Attribution` for each input.
"""

import ecglib._keras  # noqa: F401

from ecglib.explain.agreement import AgreementCheck, check_seed_agreement
from ecglib.explain.attribution import (
    Attribution,
    attribute_by_gradient,
    attribute_by_integrated_gradients,
    attribute_by_smoothgrad,
)
from ecglib.explain.beat_runs import average_run_beats, measure_run_waves
from ecglib.explain.beats import BeatAverage, BeatWindows, WaveFraction, average_beats
from ecglib.explain.checks import SanityCheck, check_completeness
from ecglib.explain.contributions import (
    BranchContributions,
    check_efficiency,
    compute_branch_contributions,
    compute_shapley_values,
)
from ecglib.explain.curves import CurveCheck, check_deletion, check_insertion
from ecglib.explain.explainer import Explainer
from ecglib.explain.explanation import ExplainedInput, Explanation
from ecglib.explain.fusion_weights import (
    FusionWeights,
    compute_fusion_weights,
    describe_disagreements,
)
from ecglib.explain.gradcam import compute_grad_cam
from ecglib.explain.gradients import compute_gradients, compute_outputs, compute_scores
from ecglib.explain.information import InformationCheck, check_mutual_information
from ecglib.explain.methods import DEFAULT_METHOD, METHODS
from ecglib.explain.occlusion import (
    occlude_bands,
    occlude_leads,
    occlude_segments,
    occlude_waves,
)
from ecglib.explain.permuted_labels import train_on_permuted_labels
from ecglib.explain.pointing import Evidence, PointingScore, score_pointing
from ecglib.explain.pointing_runs import measure_pointing
from ecglib.explain.randomization import (
    RandomizationCheck,
    check_label_randomization,
    check_weight_randomization,
)
from ecglib.explain.record_windows import RecordWindow
from ecglib.explain.rollout import compute_attention_rollout, roll_out_attention
from ecglib.explain.run_scores import (
    build_representation_scores,
    build_signal_scores,
    describe_signal,
)
from ecglib.explain.scores import (
    Axis,
    ClassScore,
    ModelInput,
    ScoreModel,
    build_score_model,
)
from ecglib.explain.similarity import compute_similarity

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "AgreementCheck",
    "Attribution",
    "Axis",
    "BeatAverage",
    "BeatWindows",
    "BranchContributions",
    "ClassScore",
    "CurveCheck",
    "Evidence",
    "ExplainedInput",
    "Explainer",
    "Explanation",
    "FusionWeights",
    "InformationCheck",
    "ModelInput",
    "PointingScore",
    "RandomizationCheck",
    "RecordWindow",
    "SanityCheck",
    "ScoreModel",
    "WaveFraction",
    "attribute_by_gradient",
    "attribute_by_integrated_gradients",
    "attribute_by_smoothgrad",
    "average_beats",
    "average_run_beats",
    "build_representation_scores",
    "build_score_model",
    "build_signal_scores",
    "check_completeness",
    "check_deletion",
    "check_efficiency",
    "check_insertion",
    "check_label_randomization",
    "check_mutual_information",
    "check_seed_agreement",
    "check_weight_randomization",
    "compute_attention_rollout",
    "compute_branch_contributions",
    "compute_fusion_weights",
    "compute_grad_cam",
    "compute_gradients",
    "compute_outputs",
    "compute_scores",
    "compute_shapley_values",
    "compute_similarity",
    "describe_disagreements",
    "describe_signal",
    "measure_pointing",
    "measure_run_waves",
    "occlude_bands",
    "occlude_leads",
    "occlude_segments",
    "occlude_waves",
    "roll_out_attention",
    "score_pointing",
    "train_on_permuted_labels",
]
