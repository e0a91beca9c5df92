"""Encoders: from one scaled representation to a vector of features.

Each takes ``(x, width, feature_dim, dropout, seed)`` and returns a tensor of shape
(n_windows, feature_dim). `width` scales the number of channels; the encoders from a paper have the
paper's channels at ``width=64`` unless they say otherwise (`s4d` at 256).

Pooling over time loses the position of a finding. That is right for a finding anywhere in a
ten-second record, and wrong where only the middle one of several beats counts. The small encoders
and `s4d` add a learned position embedding before they pool; `resnet1d`, `xresnet1d`,
`inception_time` and `random` pool over time as in their papers. All encoders of frequencies keep
the position of each bin.
"""

from ecglib.models.encoders.loading import Encoder, load_encoder

__all__ = ["Encoder", "load_encoder"]
