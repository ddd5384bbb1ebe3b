"""A convolutional net and a transformer block, with what targets treat in their own ways."""

from __future__ import annotations

import torch
from integration.compiling import Case, Made
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNet(nn.Module):
    """A residual block, a concatenation, pools and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.first, self.second = (nn.Conv2d(16, 16, 3, padding=1) for _ in range(2))
        self.left, self.right = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, padding=1)
        self.join, self.head = nn.Conv2d(32, 16, 1), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.norm(self.stem(x)).relu(), 2)
        x = (x + self.second(self.first(x).relu())).relu()
        x = torch.cat((self.left(x), self.right(x)), 1)
        return self.head(self.join(x).relu().mean((2, 3)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int = 32, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        y = self.qkv(self.one(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = y.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.out(y.reshape(batch, tokens, width))
        return x + self.down(F.gelu(self.up(self.two(x))))


class Upscale(nn.Module):
    """Transposed convolutions, one of two groups, between two others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(32, 16, 1)
        self.up = nn.ConvTranspose2d(16, 24, 2, 2)
        self.groups = nn.ConvTranspose2d(24, 32, 3, 2, padding=1, output_padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.groups(self.up(self.first(x).relu()).relu()).relu())


class Neck(nn.Module):
    """An image enlarged to the size of another, and joined with both halves of it."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 2, stride=2)
        self.join = nn.Conv2d(32, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        coarse = F.interpolate(self.coarse(x).relu(), scale_factor=2.0, mode="nearest")
        left, right = self.fine(x).relu().chunk(2, 1)
        return self.join(torch.cat((right, coarse, left), 1))


class Gates(nn.Module):
    """A layer behind a sigmoid and a tanh, multiplied as in a gated unit."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(16, 32), nn.Linear(16, 32)
        self.out = nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.value(x).tanh() * self.gate(x).sigmoid()).tanh()


def conv_net() -> Made:
    return ConvNet(), {"x": torch.randn(2, 3, 12, 12)}, {}


def block() -> Made:
    return Block(), {"x": torch.randn(2, 6, 32)}, {}


def upscale() -> Made:
    return Upscale(), {"x": torch.randn(1, 16, 6, 6)}, {}


def neck() -> Made:
    return Neck(), {"x": torch.randn(1, 16, 6, 6)}, {}


def gates() -> Made:
    return Gates(), {"x": torch.randn(4, 16)}, {}


CASES = {
    case.name: case
    for case in (
        Case("conv-net", conv_net),
        Case("block", block),
        Case("upscale", upscale),
        Case("neck", neck),
        Case("gates", gates),
    )
}
