"""The encoder that cuts a time-frequency picture into patches and attends between them."""

from keras import layers

from ecglib.models.blocks import attention_pool, dense, kernel, transformer_block
from ecglib.models.layers import PositionEmbedding, seed_stream

# Most frames and most bins of a patch. The attention pays for the number of patches squared:
# with 4 frames by 2 bins a step took four times as long.
PATCH = 4
# As many as the other transformers here have. The twelve of the papers are trained on millions
# of pictures first; a few thousand records from scratch do not fill them.
N_BLOCKS = 2


def time_frequency_patch_transformer(x, width: int, feature_dim: int, dropout: float, seed: int):
    """Patches over time and frequency that know their place, then two transformer blocks.

    After Dosovitskiy et al., "An image is worth 16x16 words" (ICLR 2021, arXiv:2010.11929), and
    Gong, Chung and Glass, "AST: audio spectrogram transformer" (Interspeech 2021,
    arXiv:2104.01778). Their patches of 16 by 16 are cut from pictures of 128 bins and more;
    these are of 4 by 4, side by side, and smaller where that would leave one patch only on an
    axis; each is mapped to ``2 * width`` channels. The last are filled up with zeros.
    `attention_pool` stands for the class token, whose last attention is a weighted average of
    the patches too.

    Input (n_windows, n_frames, n_bins, n_leads); the blocks see n_frames * n_bins / 16 patches.
    """
    seeds = seed_stream(seed)
    patch = tuple(min(PATCH, n // 2) for n in x.shape[1:3])
    # No bias: the embedding of the place has one.
    cut = layers.Conv2D(
        2 * width,
        patch,
        strides=patch,
        padding="same",
        use_bias=False,
        kernel_initializer=kernel(seeds, "GlorotUniform"),
    )
    x = cut(x)
    x = layers.Reshape((x.shape[1] * x.shape[2], x.shape[3]))(x)
    x = PositionEmbedding(seed=next(seeds))(x)
    for _ in range(N_BLOCKS):
        x = transformer_block(x, dropout, seeds)
    x = attention_pool(layers.LayerNormalization()(x), seeds)
    x = layers.Dropout(dropout, seed=next(seeds))(x)
    return dense(x, feature_dim, seeds)
