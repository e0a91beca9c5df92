"""Encoders: from one scaled representation to a vector of features.

Each takes ``(x, width, feature_dim, dropout, seed)`` and returns a tensor of shape
(n_windows, feature_dim). `width` scales the channels; those of a paper have its channels at
``width=64`` unless they say otherwise (`s4d` at 256).

What pools over time cannot tell where something stood: right for a finding anywhere in a
ten-second record, wrong where of several beats only the middle one counts. The small encoders
and `s4d` add a learned embedding of the place before they pool; `resnet1d`, `xresnet1d`,
`inception_time` and `random` pool over time as their papers do. Whatever looks at frequency
keeps the place of each bin.
"""

from collections.abc import Callable

from ecglib.models.encoders.cnn import (
    frequency_cnn,
    time_cnn,
    time_cnn_attention,
    time_frequency_cnn2d,
)
from ecglib.models.encoders.inception import inception_time
from ecglib.models.encoders.mlp import mlp
from ecglib.models.encoders.patch_transformer import time_frequency_patch_transformer
from ecglib.models.encoders.recurrent import time_cnn_bilstm, time_frequency_crnn
from ecglib.models.encoders.resnet import frequency_resnet1d, resnet1d, resnet2d
from ecglib.models.encoders.state_space import time_s4d
from ecglib.models.encoders.transformer import frequency_cnn_transformer, time_cnn_transformer
from ecglib.models.encoders.untrained import random_convolutions
from ecglib.models.encoders.xresnet import xresnet1d

# Fewest steps a view may have on each axis before the leads: two are left for an attention.
SHORTEST = {
    "time": (32,),
    "frequency": (16,),
    "spectrogram": (4, 4),
    "scalogram": (4, 4),
    "tabular": (1,),
}

_TIME_FREQUENCY = {
    "cnn2d": time_frequency_cnn2d,
    "resnet2d": resnet2d,
    "crnn": time_frequency_crnn,
    "patch_transformer": time_frequency_patch_transformer,
}
ENCODERS: dict[str, dict[str, Callable]] = {
    "time": {
        "cnn": time_cnn,
        "cnn_bilstm": time_cnn_bilstm,
        "cnn_attention": time_cnn_attention,
        "cnn_transformer": time_cnn_transformer,
        "resnet1d": resnet1d,
        "xresnet1d": xresnet1d,
        "inception_time": inception_time,
        "s4d": time_s4d,
        "random": random_convolutions,
    },
    "frequency": {
        "cnn": frequency_cnn,
        "cnn_transformer": frequency_cnn_transformer,
        "mlp": mlp,
        "resnet1d": frequency_resnet1d,
    },
    "spectrogram": _TIME_FREQUENCY,
    "scalogram": dict(_TIME_FREQUENCY),
    "tabular": {"mlp": mlp},
}
