"""Check an encoder or a fusion of another package as those of ecglib are checked."""

from collections.abc import Callable, Iterator

import keras
import numpy as np

from ecglib.errors import require_one_of
from ecglib.experiment.branches import check_encoder_name, check_fusion_name
from ecglib.experiment.import_paths import get_fusion_family, pin_import_path
from ecglib.experiment.registry import REPRESENTATIONS
from ecglib.models.checks.properties import CHECKS, Candidate
from ecglib.models.checks.results import CheckResult, run_check
from ecglib.models.cost import find_uncounted_layers
from ecglib.models.encoders import load_encoder
from ecglib.models.fusion.branches import BRANCH_OUTPUT, find_branches

# Sizes of windows besides those of the small models: the smallest, odd ones and usual ones.
OTHER_SHAPES = {
    "time": ((32, 1), (187, 3), (1000, 12)),
    "frequency": ((16, 1), (33, 3), (200, 12)),
    "spectrogram": ((4, 4, 1), (7, 9, 3), (63, 26, 12)),
    "scalogram": ((4, 4, 1), (7, 9, 3), (63, 26, 12)),
    "tabular": ((1,), (30,)),
}
WIDTHS = (4, 16)
FEATURE_DIMS = (8, 5)
BRANCHES = {"time": "cnn", "frequency": "mlp", "tabular": "mlp"}


def check_encoder(encoder: str, representation: str = "time") -> Iterator[CheckResult]:
    """Check an encoder, one property after the other, as those of ecglib are checked.

    Parameters
    ----------
    encoder : str
        Import path or name.
    representation : str, default "time"
        The representation that it takes.

    Yields
    ------
    CheckResult
        One for each check; the last one if the encoder cannot be built.

    Raises
    ------
    ExperimentError
        If there is no such encoder or representation.

    Examples
    --------
    >>> results = check_encoder("mlp", "frequency")
    >>> next(results)
    CheckResult(name='shapes', problem='')
    """
    require_one_of("representation", representation, REPRESENTATIONS)
    check_encoder_name(representation, encoder)
    pinned = pin_import_path(encoder)
    load_encoder(representation, pinned)
    checks = {
        "shapes": lambda: _check_shapes(pinned, representation),
        "width": lambda: _check_width(pinned, representation),
    }
    yield from _run_checks(Candidate(branches={representation: pinned}), checks)


def check_fusion(fusion: str) -> Iterator[CheckResult]:
    """Check a fusion, one property after the other, as those of ecglib are checked.

    Parameters
    ----------
    fusion : str
        Import path or name.

    Yields
    ------
    CheckResult
        One for each check; the last one if the fusion cannot be built.

    Raises
    ------
    ExperimentError
        If there is no such fusion.

    Examples
    --------
    >>> next(check_fusion("late_average"))
    CheckResult(name='branches', problem='')
    """
    check_fusion_name(fusion)
    candidate = Candidate(branches=BRANCHES, fusion=pin_import_path(fusion))
    checks = {
        "branches": lambda: _check_branch_layers(candidate),
        "missing branches": lambda: _check_missing_branches(candidate),
    }
    yield from _run_checks(candidate, checks)


def _run_checks(
    candidate: Candidate, checks: dict[str, Callable[[], str]]
) -> Iterator[CheckResult]:
    """Carry out special checks, then those of every model; stop if it cannot be built."""
    for name, check in checks.items():
        result = run_check(name, check)
        yield result
        if not result.passed:
            return
    for name, model_check in CHECKS.items():
        yield run_check(name, lambda check=model_check: check(candidate))  # type: ignore[misc]
    yield run_check("multiply-adds", lambda: _check_cost(candidate))


def _check_shapes(encoder: str, representation: str) -> str:
    """Check windows of other lengths and numbers of leads, and other numbers of features."""
    function = load_encoder(representation, encoder)
    for shape in OTHER_SHAPES[representation]:
        for feature_dim in FEATURE_DIMS:
            x = keras.Input(shape)
            y = function(x, width=WIDTHS[0], feature_dim=feature_dim, dropout=0.2, seed=1)
        noise = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
        features = keras.ops.convert_to_numpy(keras.Model(x, y)(noise))
        if not np.isfinite(features).all():
            return f"The features of windows of shape {shape} are NaN or infinite."
    return ""


def _check_width(encoder: str, representation: str) -> str:
    """Check that `width` decides the size, by which the size control makes a branch larger."""
    candidate = Candidate(branches={representation: encoder})
    small, large = (candidate.build(width=width).count_params() for width in WIDTHS)
    if large > small:
        return ""
    return (
        f"It has {small:,} weights with width={WIDTHS[0]} and {large:,} with width={WIDTHS[1]}. "
        f"Let the number of channels follow from `width`: the size control makes a branch larger "
        f"by it."
    )


def _check_cost(candidate: Candidate) -> str:
    uncounted = find_uncounted_layers(candidate.model)
    if not uncounted:
        return ""
    names = sorted({type(layer).__name__ for layer in uncounted})
    return (
        f"The multiply-adds of {', '.join(names)} are not known, so runs will not state them. Give "
        f"the layer a method count_multiply_adds(self, inputs, outputs), which gets lists of the "
        f"shapes of its tensors and returns the number for one window."
    )


def _check_branch_layers(candidate: Candidate) -> str:
    """Check that the fusion takes the branches as its family does."""
    family = get_fusion_family(candidate.fusion)
    has_branch_output = BRANCH_OUTPUT in {layer.name for layer in candidate.model.layers}
    found = find_branches(candidate.model)
    if family == "late" and not has_branch_output:
        return (
            "The name begins with late_, but the branches are not classified alone. Combine what "
            "ecglib.models.fusion.stack_probabilities(branches) returns."
        )
    if family == "early" and found:
        return (
            f"The name begins with early_, but the branches {found} have encoders. Join "
            f"branches.inputs, and call branches.encode('fused', x, encoder) once."
        )
    if family != "early" and found != list(candidate.branches):
        return (
            f"Of the branches {list(candidate.branches)} it uses {found}. Take the features that "
            f"branches.encode_all() returns for all of them."
        )
    return ""


def _check_missing_branches(candidate: Candidate) -> str:
    """Check a model that was told that branches may be missing."""
    model = candidate.build(missing_branches=True)
    candidate.prepare(model)
    batch = {name: x.copy() for name, x in candidate.batch.items()}
    batch["time"][:] = np.nan
    p = keras.ops.convert_to_numpy(model(batch, training=False))
    if np.isfinite(p).all():
        return ""
    return (
        "With missing_branches=True a missing branch makes the probabilities NaN. Pass the "
        "features through branches.drop(...), or give present=branches.present to the layer of a "
        "late fusion."
    )
