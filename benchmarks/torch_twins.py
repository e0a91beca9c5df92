"""PyTorch twins of our encoders: ``python -m benchmarks.torch_twins time cnn``.

They have the same layers and as many parameters, written as a user of PyTorch would write them:
channels before steps, the layers of PyTorch, no compiler. With an even stride the padding begins
at another place than ours, which changes no length. This is a worker (`benchmarks.worker`); it
only needs PyTorch, not ecglib.
"""

import math
import sys
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.worker import serve

BATCH, N_CLASSES = 64, 5
SHAPES = {"time": (12, 1000), "spectrogram": (12, 59, 32)}  # of a window, leads first
WIDTH, FEATURES, DROPOUT = 32, 64, 0.2
KERNELS, DEPTH = (39, 19, 9), 6
N_PAIRS = 4


def main(representation: str, encoder: str) -> None:
    """Build the twin and wait for work."""
    torch.manual_seed(0)
    twin = build(representation, encoder)
    n_parameters = sum(p.numel() for p in twin.parameters() if p.requires_grad)
    step = make_training_step(twin, SHAPES[representation])
    serve({"step": step}, parameters=n_parameters)


def build(representation: str, encoder: str) -> nn.Module:
    """Build scaling, encoder and head."""
    layers, width = TWINS[representation][encoder]()
    return nn.Sequential(
        Scaling(SHAPES[representation]),
        layers,
        nn.Linear(width, FEATURES),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(FEATURES, N_CLASSES),
    )


def make_training_step(twin: nn.Module, shape: tuple[int, ...]) -> Callable[[], None]:
    """Return a function that does one training step, always on the same batch."""
    x = torch.randn(BATCH, *shape)
    y = (torch.rand(BATCH, N_CLASSES) < 0.3).float()
    optimizer = torch.optim.AdamW(twin.parameters(), 3e-3, weight_decay=1e-2, fused=True)
    compute_loss = nn.BCEWithLogitsLoss()
    twin.train()

    def step() -> None:
        optimizer.zero_grad()
        compute_loss(twin(x), y).backward()
        optimizer.step()

    return step


class Scaling(nn.Module):
    """Scale by the mean and deviation of each lead, or of each of its bins; not trained."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        scale_shape = (shape[0], 1) if len(shape) == 2 else (shape[0], 1, shape[2])
        self.register_buffer("mean", torch.zeros(scale_shape))
        self.register_buffer("deviation", torch.ones(scale_shape))

    def forward(self, x):
        return (x - self.mean) / self.deviation


def convolve(channels: int, filters: int, size: int, stride=1) -> nn.Sequential:
    """Build convolution, normalization and rectifier over one axis."""
    return nn.Sequential(*convolve_linear(channels, filters, size, stride), nn.ReLU())


def convolve_linear(channels: int, filters: int, size: int, stride=1) -> nn.Sequential:
    """Build convolution and normalization over one axis."""
    convolution = nn.Conv1d(channels, filters, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(filters))


def convolve2d(channels: int, filters: int, stride) -> nn.Sequential:
    """Build a convolution of kernel 3, normalization and rectifier over two axes."""
    return nn.Sequential(*convolve2d_linear(channels, filters, 3, stride), nn.ReLU())


def convolve2d_linear(channels: int, filters: int, size: int, stride) -> nn.Sequential:
    """Build convolution and normalization over two axes."""
    convolution = nn.Conv2d(channels, filters, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters))


class Residual(nn.Module):
    """Add the input of a block, or a shortcut, to its output."""

    def __init__(self, inner: nn.Module, shortcut: nn.Module | None = None):
        super().__init__()
        self.inner, self.shortcut = inner, shortcut or nn.Identity()

    def forward(self, x):
        return functional.relu(self.inner(x) + self.shortcut(x))


class Position(nn.Module):
    """Add a learned value for each position and channel."""

    def __init__(self, *shape: int):
        super().__init__()
        self.embedding = nn.Parameter(0.02 * torch.randn(shape))

    def forward(self, x):
        return x + self.embedding


class AverageAndMaximum(nn.Module):
    """Concatenate the averages and maxima over some axes, by default the first after channels."""

    def __init__(self, axes: tuple[int, ...] = (2,)):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        both = torch.cat([x.mean(self.axes), x.amax(self.axes)], dim=1)
        return functional.dropout(both.flatten(1), DROPOUT, self.training)


class StepsFirst(nn.Module):
    """Swap channels and steps, for attention and recurrent layers."""

    def forward(self, x):
        return x.transpose(1, 2)


class Attention(nn.Module):
    """Self-attention of the steps, with four heads and without biases."""

    def __init__(self, channels: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, 4, bias=False, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class AddNormalized(nn.Module):
    """Add the output of some layers, applied to the normalized input, to the input."""

    def __init__(self, channels: int, *inner: nn.Module):
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(channels), *inner)

    def forward(self, x):
        return x + self.inner(x)


class AttentionPool(nn.Module):
    """Average over the steps, weighted by a learned query."""

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Linear(channels, 1, bias=False)

    def forward(self, x):
        return (self.query(x).softmax(1) * x).sum(1)


class BothDirections(nn.Module):
    """An LSTM in each direction, each with its output after its last step."""

    def __init__(self, channels: int, units: int):
        super().__init__()
        self.lstm = nn.LSTM(channels, units, batch_first=True, bidirectional=True)
        for name, weight in self.lstm.named_parameters():
            if "bias_hh" in name:  # one bias is enough
                nn.init.zeros_(weight).requires_grad_(False)

    def forward(self, x):
        _, (last, _) = self.lstm(x)
        return functional.dropout(torch.cat([last[0], last[1]], 1), DROPOUT, self.training)


def build_transformer(channels: int) -> nn.Sequential:
    """Build one pre-norm transformer block."""
    return nn.Sequential(
        AddNormalized(channels, Attention(channels), nn.Dropout(DROPOUT)),
        AddNormalized(
            channels,
            nn.Linear(channels, 2 * channels),
            nn.ReLU(),
            nn.Linear(2 * channels, channels),
            nn.Dropout(DROPOUT),
        ),
    )


def build_front_end() -> list[nn.Module]:
    """Build the convolutions that lead to 63 steps of twice the width."""
    return [
        convolve(12, WIDTH, 9, 4),
        convolve(WIDTH, 2 * WIDTH, 5, 2),
        convolve(2 * WIDTH, 2 * WIDTH, 5, 2),
    ]


def build_cnn() -> tuple[nn.Module, int]:
    """Build the twin of `time_cnn`; return it and its number of outputs."""
    last = convolve(2 * WIDTH, 4 * WIDTH, 3, 2)
    layers = [*build_front_end(), Position(2 * WIDTH, 63), last, AverageAndMaximum()]
    return nn.Sequential(*layers), 8 * WIDTH


def build_cnn_bilstm() -> tuple[nn.Module, int]:
    """Build the twin of `time_cnn_bilstm`; return it and its number of outputs."""
    layers = [*build_front_end(), StepsFirst(), BothDirections(2 * WIDTH, WIDTH)]
    return nn.Sequential(*layers), 2 * WIDTH


def build_cnn_attention() -> tuple[nn.Module, int]:
    """Build the twin of `time_cnn_attention`; return it and its number of outputs."""
    n = 2 * WIDTH
    attended = AddNormalized(n, Attention(n)), nn.LayerNorm(n), AttentionPool(n)
    places = Position(63, n)
    layers = [*build_front_end(), StepsFirst(), places, *attended, nn.Dropout(DROPOUT)]
    return nn.Sequential(*layers), n


class MeanOfSteps(nn.Module):
    """Average over the steps."""

    def forward(self, x):
        return x.mean(1)


def build_cnn_transformer() -> tuple[nn.Module, int]:
    """Build the twin of `time_cnn_transformer`; return it and its number of outputs."""
    n = 2 * WIDTH
    blocks = build_transformer(n), build_transformer(n), nn.LayerNorm(n), MeanOfSteps()
    return nn.Sequential(*build_front_end(), StepsFirst(), Position(63, n), *blocks), n


def build_resnet1d() -> tuple[nn.Module, int]:
    """Build the twin of `resnet1d`; return it and its number of outputs."""
    n = 2 * WIDTH
    layers = [convolve(12, n, 7)]
    for stride in (1, 2, 2):
        inner = nn.Sequential(convolve(n, n, 5, stride), convolve_linear(n, n, 3))
        layers.append(Residual(inner, convolve_linear(n, n, 1, stride) if stride > 1 else None))
    return nn.Sequential(*layers, AverageAndMaximum()), 2 * n


def build_xresnet1d() -> tuple[nn.Module, int]:
    """Build the twin of `xresnet1d`; return it and its number of outputs."""
    half, n = WIDTH // 2, 4 * WIDTH
    layers = [convolve(12, half, 5, 2), convolve(half, half, 5), convolve(half, WIDTH, 5)]
    layers.append(nn.MaxPool1d(3, 2, 1))
    channels = WIDTH
    for block in range(8):
        stride = 2 if block in (2, 4, 6) else 1
        middle = convolve(channels, WIDTH, 1), convolve(WIDTH, WIDTH, 5, stride)
        inner = nn.Sequential(*middle, convolve_linear(WIDTH, n, 1))
        nn.init.zeros_(inner[-1][-1].weight)
        shortcut = [nn.AvgPool1d(2, ceil_mode=True)] if stride == 2 else []
        shortcut += [convolve_linear(channels, n, 1)] if channels != n else []
        layers.append(Residual(inner, nn.Sequential(*shortcut)))
        channels = n
    return nn.Sequential(*layers, AverageAndMaximum()), 2 * n


class Inception(nn.Module):
    """Convolutions of three lengths and a pooling, in parallel."""

    def __init__(self, channels: int, filters: int):
        super().__init__()
        self.narrow = nn.Conv1d(channels, filters, 1, bias=False)
        self.paths = nn.ModuleList(
            nn.Conv1d(filters, filters, size, padding=size // 2, bias=False) for size in KERNELS
        )
        pooled = nn.MaxPool1d(3, 1, 1), nn.Conv1d(channels, filters, 1, bias=False)
        self.pooled = nn.Sequential(*pooled)
        self.normalize = nn.BatchNorm1d(4 * filters)

    def forward(self, x):
        narrow = self.narrow(x)
        paths = [*(path(narrow) for path in self.paths), self.pooled(x)]
        return functional.relu(self.normalize(torch.cat(paths, dim=1)))


def build_inception_time() -> tuple[nn.Module, int]:
    """Build the twin of `inception_time`; return it and its number of outputs."""
    n, channels, layers = 2 * WIDTH, 12, []
    for _ in range(DEPTH // 3):
        modules = [Inception(n_inputs, WIDTH // 2) for n_inputs in (channels, n, n)]
        layers.append(Residual(nn.Sequential(*modules), convolve_linear(channels, n, 1)))
        channels = n
    return nn.Sequential(*layers, AverageAndMaximum()), 2 * n


class S4D(nn.Module):
    """A diagonal state space in both directions, by Fourier transforms as published.

    It follows the authors' ``s4d.py`` (Gu, Gupta, Goel and Ré, 2022): the kernel is as long as the
    window, and the transform twice as long.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.log_step = nn.Parameter(torch.linspace(math.log(1e-3), math.log(0.1), channels))
        self.log_decay = nn.Parameter(torch.full((channels, N_PAIRS), math.log(0.5)))
        self.frequency = nn.Parameter((math.pi * torch.arange(N_PAIRS)).repeat(channels, 1))
        self.readout = nn.Parameter(torch.randn(2, channels, N_PAIRS, 2) / math.sqrt(2))
        self.skip = nn.Parameter(torch.ones(channels))

    def kernel(self, n_steps: int):
        """Compute the kernels (2, n_channels, n_steps), forward and backward."""
        a = -self.log_decay.exp() + 1j * self.frequency
        rate = a * self.log_step.exp()[:, None]
        c = torch.view_as_complex(self.readout) * (rate.exp() - 1) / a
        powers = (rate[..., None] * torch.arange(n_steps)).exp()
        return 2 * torch.einsum("dhn,hnl->dhl", c, powers).real

    def forward(self, x):
        n = x.shape[-1]
        forward, backward = self.kernel(n)
        both = functional.pad(forward, (0, n)) + functional.pad(backward.flip(-1), (n, 0))
        product = torch.fft.rfft(x, n=2 * n) * torch.fft.rfft(both, n=2 * n)
        return torch.fft.irfft(product, n=2 * n)[..., :n] + x * self.skip[:, None]


class S4DBlock(nn.Module):
    """A state space and a gated unit, added to the input and normalized."""

    def __init__(self, channels: int):
        super().__init__()
        mix = nn.Conv1d(channels, 2 * channels, 1), nn.GLU(dim=1)
        self.inner = nn.Sequential(
            S4D(channels), nn.SiLU(), nn.Dropout1d(DROPOUT), *mix, nn.Dropout1d(DROPOUT)
        )
        self.normalize = nn.LayerNorm(channels)

    def forward(self, x):
        return self.normalize((x + self.inner(x)).transpose(1, 2)).transpose(1, 2)


def build_s4d() -> tuple[nn.Module, int]:
    """Build the twin of `time_s4d`; return it and its number of outputs."""
    n = 2 * WIDTH
    blocks = [nn.Conv1d(12, n, 1), *(S4DBlock(n) for _ in range(4))]
    pooled = nn.AvgPool1d(16, ceil_mode=True), Position(n, 63), StepsFirst()
    return nn.Sequential(*blocks, *pooled, AttentionPool(n), nn.Dropout(DROPOUT)), n


def build_cnn2d() -> tuple[nn.Module, int]:
    """Build the twin of `time_frequency_cnn2d`; return it and its number of outputs."""
    n, width = 2 * WIDTH, WIDTH
    layers = [convolve2d(12, width, 2), convolve2d(width, width, 2), Position(width, 15, 8)]
    return nn.Sequential(*layers, convolve2d(width, n, 2), AverageAndMaximum()), 8 * n


def build_resnet2d() -> tuple[nn.Module, int]:
    """Build the twin of `resnet2d`; return it and its number of outputs."""
    layers, channels = [convolve2d(12, WIDTH, 2)], WIDTH
    for stage in range(3):
        filters = WIDTH * 2**stage
        if stage == 2:
            layers.append(Position(channels, 15, 8))
        for stride in (1 if stage == 0 else 2, 1):
            linear = convolve2d_linear(filters, filters, 3, 1)
            inner = nn.Sequential(convolve2d(channels, filters, stride), linear)
            same = stride == 1 and channels == filters
            around = None if same else convolve2d_linear(channels, filters, 1, stride)
            layers.append(Residual(inner, around))
            channels = filters
    return nn.Sequential(*layers, AverageAndMaximum((2, 3))), 2 * channels


class FramesFirst(nn.Module):
    """Make frames the first axis, each with all its bins and channels."""

    def forward(self, x):
        return x.transpose(1, 2).flatten(2)


def build_crnn() -> tuple[nn.Module, int]:
    """Build the twin of `time_frequency_crnn`; return it and its number of outputs."""
    n = 2 * WIDTH
    layers = [convolve2d(12, WIDTH, 2), convolve2d(WIDTH, WIDTH, (1, 2))]
    layers += [convolve2d(WIDTH, n, (1, 2)), FramesFirst(), BothDirections(4 * n, WIDTH)]
    return nn.Sequential(*layers), n


def build_patch_transformer() -> tuple[nn.Module, int]:
    """Build the twin of `time_frequency_patch_transformer`; return it and its number of outputs."""
    n = 2 * WIDTH
    cut = nn.Conv2d(12, n, 4, 4, padding=(1, 0), bias=False)
    layers = [
        cut,
        nn.Flatten(2),
        StepsFirst(),
        Position(120, n),
        build_transformer(n),
        build_transformer(n),
    ]
    pooled = nn.LayerNorm(n), AttentionPool(n), nn.Dropout(DROPOUT)
    return nn.Sequential(*layers, *pooled), n


TWINS = {
    "time": {
        "cnn": build_cnn,
        "cnn_bilstm": build_cnn_bilstm,
        "cnn_attention": build_cnn_attention,
        "cnn_transformer": build_cnn_transformer,
        "resnet1d": build_resnet1d,
        "xresnet1d": build_xresnet1d,
        "inception_time": build_inception_time,
        "s4d": build_s4d,
    },
    "spectrogram": {
        "cnn2d": build_cnn2d,
        "resnet2d": build_resnet2d,
        "crnn": build_crnn,
        "patch_transformer": build_patch_transformer,
    },
}

if __name__ == "__main__":
    main(*sys.argv[1:])
