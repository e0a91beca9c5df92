"""The encoder that cuts a spectrogram or scalogram into patches and attends between them."""

from ecglib._keras import Tensor

from keras import layers

from ecglib.models.blocks import attention_pool, create_initializer, dense, transformer_block
from ecglib.models.layers import PositionEmbedding, seed_stream

# Maximum frames and bins of a patch. The cost of the attention grows with the square of the number
# of patches: with 4 frames by 2 bins a step took four times as long.
PATCH = 4
# As in the other transformers here. The twelve of the papers are first trained on millions of
# images; a few thousand records from scratch are too few for them.
N_BLOCKS = 2


def time_frequency_patch_transformer(
    x: Tensor, width: int, feature_dim: int, dropout: float, seed: int
) -> Tensor:
    """Patches over time and frequency with a position embedding, then two transformer blocks.

    Parameters
    ----------
    x : tensor of shape (n_windows, n_frames, n_bins, n_leads)
        Scaled spectrogram or scalogram; the blocks attend over n_frames * n_bins / 16 patches.
    width, feature_dim, dropout, seed
        As in `ecglib.models.ModelSpec`.

    Returns
    -------
    tensor of shape (n_windows, feature_dim)
        Features.

    Notes
    -----
    After Dosovitskiy et al., "An image is worth 16x16 words" (ICLR 2021, arXiv:2010.11929), and
    Gong, Chung and Glass, "AST: audio spectrogram transformer" (Interspeech 2021,
    arXiv:2104.01778). Their patches of 16 by 16 are cut from images of 128 bins and more; these
    are of 4 by 4, without overlap, and smaller where only one patch would fit on an axis; each is
    projected to ``2 * width`` channels. The last patches are padded with zeros. `attention_pool`
    replaces the class token, whose last attention is a weighted average of the patches too.

    Examples
    --------
    >>> x = layers.Input((32, 26, 12))
    >>> time_frequency_patch_transformer(x, width=32, feature_dim=64, dropout=0.2, seed=0).shape
    (None, 64)
    """
    seeds = seed_stream(seed)
    patch = tuple(min(PATCH, n // 2) for n in x.shape[1:3])
    # No bias: the position embedding has one.
    project = layers.Conv2D(
        2 * width,
        patch,
        strides=patch,
        padding="same",
        use_bias=False,
        kernel_initializer=create_initializer(seeds, "GlorotUniform"),
    )
    x = project(x)
    x = layers.Reshape((x.shape[1] * x.shape[2], x.shape[3]))(x)
    x = PositionEmbedding(seed=next(seeds))(x)
    for _ in range(N_BLOCKS):
        x = transformer_block(x, dropout, seeds)
    x = attention_pool(layers.LayerNormalization()(x), seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)
