"""Every name that an experiment may use, once, known without importing Keras.

The tables map a name to the place of its implementation below the package that holds it, as
``module.function``; that package loads it by this place. To add an encoder, a fusion, an
augmentation or a representation, write it and add one line here.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

HANDCRAFTED = "handcrafted"  # the baseline's inputs; no network takes them
TABULAR = "tabular"
LAYER = "layer"  # option of a representation: the import path of another layer in its place

# Trees on handcrafted inputs, `ecglib.training.trees`: name -> what it is.
BASELINES: Mapping[str, str] = MappingProxyType(
    {
        "random_forest": "Random forest on handcrafted values: a baseline, always alone.",
        "gradient_boosting": "Gradient-boosted trees on the same values.",
    }
)

_IMAGE_ENCODERS = {
    "cnn2d": "cnn.time_frequency_cnn2d",
    "resnet2d": "resnet.resnet2d",
    "crnn": "recurrent.time_frequency_crnn",
    "patch_transformer": "patch_transformer.time_frequency_patch_transformer",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Representation:
    """What a network has to know of a representation before there is any data.

    Parameters
    ----------
    layer : str
        Place of its layer below `ecglib.representations`.
    axes : tuple of str
        Names of the axes of one window.
    min_sizes : tuple of int
        Smallest size of each axis before the leads: encoders shorten them step by step.
    scaled_axes : tuple of int
        Axes whose entries are scaled one by one; the mean is taken over the others.
    early_fusion_rank : int
        In an early fusion the representation of the lowest rank gives the encoder.
    encoders : mapping of str to str
        Its encoders by name, and their places below `ecglib.models.encoders`.

    Examples
    --------
    >>> REPRESENTATIONS["spectrogram"].axes
    ('n_frames', 'n_bins', 'n_leads')
    """

    layer: str
    axes: tuple[str, ...]
    min_sizes: tuple[int, ...]
    scaled_axes: tuple[int, ...]
    early_fusion_rank: int
    encoders: Mapping[str, str]


# In the order of a model's inputs.
REPRESENTATIONS: Mapping[str, Representation] = MappingProxyType(
    {
        "time": Representation(
            layer="time.TimeSeries",
            axes=("n_samples", "n_leads"),
            min_sizes=(32,),
            scaled_axes=(-1,),
            early_fusion_rank=0,
            encoders={
                "cnn": "cnn.time_cnn",
                "cnn_bilstm": "recurrent.time_cnn_bilstm",
                "cnn_attention": "cnn.time_cnn_attention",
                "cnn_transformer": "transformer.time_cnn_transformer",
                "resnet1d": "resnet.resnet1d",
                "xresnet1d": "xresnet.xresnet1d",
                "inception_time": "inception.inception_time",
                "s4d": "state_space.time_s4d",
                "random": "untrained.random_convolutions",
            },
        ),
        "frequency": Representation(
            layer="frequency.FrequencySpectrum",
            axes=("n_bins", "n_leads"),
            min_sizes=(16,),
            scaled_axes=(-2, -1),
            early_fusion_rank=3,
            encoders={
                "cnn": "cnn.frequency_cnn",
                "cnn_transformer": "transformer.frequency_cnn_transformer",
                "mlp": "mlp.mlp",
                "resnet1d": "resnet.frequency_resnet1d",
            },
        ),
        "spectrogram": Representation(
            layer="spectrogram.Spectrogram",
            axes=("n_frames", "n_bins", "n_leads"),
            min_sizes=(4, 4),
            scaled_axes=(-2, -1),
            early_fusion_rank=1,
            encoders=_IMAGE_ENCODERS,
        ),
        "scalogram": Representation(
            layer="scalogram.Scalogram",
            axes=("n_frames", "n_bins", "n_leads"),
            min_sizes=(4, 4),
            scaled_axes=(-2, -1),
            early_fusion_rank=2,
            encoders=_IMAGE_ENCODERS,
        ),
        TABULAR: Representation(
            layer="tabular.TabularValues",
            axes=("n_columns",),
            min_sizes=(1,),
            scaled_axes=(-1,),
            early_fusion_rank=4,
            encoders={"mlp": "mlp.mlp"},
        ),
    }
)

# The encoders of each representation, and the baselines in their place for handcrafted inputs.
ENCODERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: tuple(one.encoders) for name, one in REPRESENTATIONS.items()}
    | {HANDCRAFTED: tuple(BASELINES)}
)

# Places below `ecglib.models.fusion`. The family is the word before the first underscore.
FUSIONS: Mapping[str, str] = MappingProxyType(
    {
        "early_concat": "early.early_concat",
        "intermediate_concat": "intermediate.intermediate_concat",
        "intermediate_gated": "intermediate.intermediate_gated",
        "intermediate_film": "intermediate.intermediate_film",
        "intermediate_bilinear": "intermediate.intermediate_bilinear",
        "intermediate_attention": "attention.intermediate_attention",
        "intermediate_cross_attention": "attention.intermediate_cross_attention",
        "intermediate_bottleneck": "attention.intermediate_bottleneck",
        "late_average": "late.late_average",
        "late_weighted": "late.late_weighted",
        "late_product": "late.late_product",
        "late_stacking": "late.late_stacking",
    }
)
NO_FUSION = "none"

# Layers of `ecglib.preprocessing.augmentation`, in the order in which they are applied: first what
# the heart and the body do, then the electrodes.
AUGMENTATIONS: Mapping[str, str] = MappingProxyType(
    {
        "shift": "Shift",
        "gain": "Gain",
        "baseline_wander": "BaselineWander",
        "noise": "Noise",
        "time_mask": "TimeMask",
        "lead_dropout": "LeadDropout",
    }
)

BRANCH_TRAININGS = ("joint", "warm", "frozen")
CLASS_WEIGHTS = ("none", "sqrt", "balanced")
CROP_AGGREGATIONS = ("mean", "max")
LOSSES = ("cross_entropy", "focal")
MONITORS = ("auroc", "f1", "none")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
SAMPLINGS = ("uniform", "balanced")
SCALINGS = ("standard", "robust")
SCHEDULES = ("cosine", "one_cycle")

# What a model is in a comparison.
ROLES = ("single", "fusion", "ensemble", "widened", "baseline")

# Two models are of about the same size if neither has over a quarter more parameters than the
# other; one widened branch can then be the size control of several fusions.
SAME_SIZE_RATIO = 1.25
