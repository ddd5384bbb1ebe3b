"""Hand-written nets: what convolutional, recurrent and mixed models are made of."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from .compiling import Case, Made

BATCH = Dim("batch", max=64)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> Any:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class UNet(nn.Module):
    """Goes down twice, and up by a transposed convolution, then by interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = conv(3, 8), conv(8, 16), conv(16, 16)
        self.up = nn.ConvTranspose2d(16, 16, 2, 2)
        self.fourth, self.fifth = conv(32, 8), conv(16, 8)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        second = self.second(F.max_pool2d(first, 2))
        third = self.up(self.third(F.max_pool2d(second, 2)))
        fourth = self.fourth(torch.cat((third, second), 1))
        wide = F.interpolate(fourth, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.head(self.fifth(torch.cat((wide, first), 1)))


class Dense(nn.Module):
    """Every layer reads all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8 + 4 * i) for i in range(3))
        self.layers = nn.ModuleList(nn.Conv2d(8 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat((x, layer(F.relu(norm(x)))), 1)
        return self.head(self.pool(x).mean((2, 3)))


class Inception(nn.Module):
    """Branches side by side: one with pooling, two with other kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8, stride=2)
        self.one, self.three, self.five = conv(8, 8, 1), conv(8, 8, 3), conv(8, 8, 5)
        self.pooled = conv(8, 8, 1)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        pooled = self.pooled(F.avg_pool2d(x, 3, 1, 1))
        joined = torch.cat((self.one(x), self.three(x), self.five(x), pooled), 1)
        return self.head(F.adaptive_avg_pool2d(joined, 1).flatten(1))


class SqueezeExcite(nn.Module):
    """Depthwise blocks as in MobileNetV3: hardswish, and a gate by sigmoid or hardsigmoid."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.gate = nn.Hardsigmoid() if hard else nn.Sigmoid()
        self.act = nn.Hardswish() if hard else nn.SiLU()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16))
        self.depth = nn.Sequential(
            nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16)
        )
        self.down, self.up = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.project = nn.Sequential(nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        y = self.act(self.depth(x))
        scale = self.gate(self.up(F.relu(self.down(y.mean((2, 3), keepdim=True)))))
        x = x + self.project(y * scale)
        return self.head(x.mean((2, 3)))


class Grouped(nn.Module):
    """Group norms between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.GroupNorm(2, 8),
            nn.SiLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=2),
            nn.GroupNorm(4, 8),
            nn.ReLU(),
            nn.Conv2d(8, 4, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Temporal(nn.Module):
    """Dilated causal convolutions over a sequence of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(8, 8, 3, padding=2 * 2**i, dilation=2**i) for i in range(3)
        )
        self.head = nn.Conv1d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x)[..., : x.shape[-1]]) + x
        return self.head(x)


class Video(nn.Module):
    """Convolutions in three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(2, 8, 3, padding=1, bias=False),
            nn.BatchNorm3d(8),
            nn.ReLU(),
            nn.MaxPool3d(2),
            nn.Conv3d(8, 8, 3, padding=1),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Recurrent(nn.Module):
    """A recurrent layer between linear ones."""

    def __init__(self, layer: type[nn.RNNBase]) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.layer = layer(8, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(F.relu(self.first(x)))[0])


class SelfAttention(nn.Module):
    """`nn.MultiheadAttention` with a mask of bools."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        return self.head(
            self.attention(x, x, x, key_padding_mask=padding_mask, need_weights=False)[0] + x
        )


class Encoder(nn.Module):
    """`nn.TransformerEncoder` as it is trained."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


class Embedded(nn.Module):
    """Embeddings of categories beside numbers, through a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.layers = nn.Sequential(nn.Linear(8 * 3 + 4, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        return self.layers(torch.cat((self.embedding(categories).flatten(1), numbers), 1))


class Several(nn.Module):
    """Returns a tuple, with a tensor that other layers read as well."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = F.relu(self.first(x))
        second = F.relu(self.second(first))
        return self.head(second.mean((2, 3))), first, second


class Named(Several):
    """Returns a dictionary."""

    def forward(self, x: Tensor) -> dict[str, Any]:
        scores, first, second = super().forward(x)
        return {"scores": scores, "features": [first, second], "best": scores.argmax(-1)}


class Odd(nn.Module):
    """Operators that no target quantizes, between some that it does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
        self.bilinear = nn.Parameter(torch.randn(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sort(torch.cumsum(self.first(x), 1), -1).values
        weight = self.bilinear * x.mean()
        return F.linear(self.second(torch.erf(x)), weight) * torch.sin(x)


class ClassToken(nn.Module):
    """Patches with a class token, in the layout of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.token.expand(x.shape[0], -1, -1), tokens), 1)
        return self.head(self.norm(tokens))


def image(model: nn.Module, size: int = 16) -> Made:
    return model, {"x": torch.randn(2, 3, size, size)}, {"x": {0: BATCH}}


def sequence(model: nn.Module, width: int, length: int = 9) -> Made:
    steps = Dim("steps", min=2, max=64)
    return model, {"x": torch.randn(2, length, width)}, {"x": {0: BATCH, 1: steps}}


def recurrent(layer: type[nn.RNNBase]) -> Made:
    """The capture unrolls the steps, so their number is fixed."""
    return Recurrent(layer), {"x": torch.randn(2, 5, 6)}, {"x": {0: BATCH}}


def attention() -> Made:
    model, inputs, dynamic = sequence(SelfAttention(), 16)
    inputs["padding_mask"] = torch.zeros(2, 9, dtype=torch.bool)
    inputs["padding_mask"][0, -3:] = True
    return model, inputs, {**dynamic, "padding_mask": dynamic["x"]}


def temporal() -> Made:
    inputs = {"x": torch.randn(2, 8, 24)}
    return Temporal(), inputs, {"x": {0: BATCH, 2: Dim("steps", min=16, max=64)}}


def embedded() -> Made:
    inputs = {"categories": torch.randint(0, 20, (4, 3)), "numbers": torch.randn(4, 4)}
    return Embedded(), inputs, {name: {0: BATCH} for name in inputs}


def video() -> Made:
    return Video(), {"x": torch.randn(2, 2, 4, 8, 8)}, {"x": {0: BATCH}}


CASES = [
    Case("u-net", lambda: image(UNet())),
    Case("dense", lambda: image(Dense())),
    Case("inception", lambda: image(Inception())),
    Case("squeeze-excite", lambda: image(SqueezeExcite(hard=False))),
    Case("mobilenet-v3", lambda: image(SqueezeExcite(hard=True))),
    Case("group-norm", lambda: image(Grouped())),
    Case("temporal", temporal),
    Case("video", video),
    Case("lstm", lambda: recurrent(nn.LSTM)),
    Case("gru", lambda: recurrent(nn.GRU)),
    Case("multihead-attention", attention),
    Case("transformer-encoder", lambda: sequence(Encoder(), 16)),
    Case("embeddings", embedded),
    Case("several-outputs", lambda: image(Several())),
    Case("named-outputs", lambda: image(Named())),
    Case("odd-operators", lambda: sequence(Odd(), 6)),
    Case("class-token", lambda: image(ClassToken())),
]
