"""The loss of one prediction, as an experiment chooses it."""

import ecglib._keras  # noqa: F401

import keras

from ecglib.experiment.settings import TrainingSettings

FOCAL_GAMMA = 2.0


def build_loss(settings: TrainingSettings, kind: str) -> keras.losses.Loss:
    """Build the loss of probabilities of shape (n_windows, n_classes).

    Parameters
    ----------
    settings : TrainingSettings
        Gives `loss` and `label_smoothing`.
    kind : {"multi_label", "multi_class"}
        Kind of the task.

    Returns
    -------
    keras.losses.Loss
        Binary cross-entropy of a multi-label task, categorical of a multi-class one.

    Notes
    -----
    The focal loss multiplies the cross-entropy by (1 - p) ** 2, where p is the probability of what
    was observed: Lin et al., "Focal loss for dense object detection" (2017), without alpha.

    Examples
    --------
    >>> build_loss(TrainingSettings(loss="focal"), "multi_label").gamma
    2.0
    """
    smoothing = settings.label_smoothing
    if settings.loss == "focal" and kind == "multi_label":
        return keras.losses.BinaryFocalCrossentropy(gamma=FOCAL_GAMMA, label_smoothing=smoothing)
    if settings.loss == "focal":
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=FOCAL_GAMMA, label_smoothing=smoothing
        )
    if kind == "multi_label":
        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
    return keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
