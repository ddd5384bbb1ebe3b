"""Hand-written nets: layers of torch with masks, graphs, divided and padded pools."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from .compiling import Case, Made
from .nets import BATCH, conv, image

SOURCE, TARGET = Dim("source", min=2, max=64), Dim("target", min=2, max=64)


class Translator(nn.Module):
    """`nn.Transformer` over scaled embeddings, with a mask made in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 16)
        self.places = nn.Parameter(torch.randn(64, 16))
        self.layers = nn.Transformer(16, 4, 1, 1, 32, batch_first=True)
        self.head = nn.Linear(16, 20)

    def embed(self, ids: Tensor) -> Tensor:
        return self.words(ids) * 4.0 + self.places[: ids.shape[1]]

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.head(self.layers(self.embed(source), self.embed(target), tgt_mask=mask))


class Padded(nn.Module):
    """`nn.TransformerEncoder` as it comes, with a mask of padding."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        return self.layers(x, src_key_padding_mask=padding_mask)


class Graph(nn.Module):
    """Two graph convolutions over one dense adjacency."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        edges = edges + torch.eye(edges.shape[-1])
        edges = edges / edges.sum(-1, keepdim=True)
        return self.second(edges @ F.elu(edges @ self.first(x)))


class Pools(nn.Module):
    """A pool behind zeros, and one with a divisor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), conv(8, 8)
        self.pad, self.greatest = nn.ZeroPad2d(1), nn.MaxPool2d(3, 2)
        self.sums = nn.AvgPool2d(2, divisor_override=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.sums(self.second(self.greatest(self.pad(self.first(x) - 2))))


def translator() -> Made:
    inputs = {"source": torch.randint(0, 20, (2, 7)), "target": torch.randint(0, 20, (2, 5))}
    return Translator(), inputs, {"source": {0: BATCH, 1: SOURCE}, "target": {0: BATCH, 1: TARGET}}


def padded() -> Made:
    inputs = {"x": torch.randn(2, 7, 16), "padding_mask": torch.zeros(2, 7, dtype=torch.bool)}
    inputs["padding_mask"][0, -3:] = True
    return Padded(), inputs, {name: {0: BATCH, 1: SOURCE} for name in inputs}


def graph() -> Made:
    inputs = {"x": torch.randn(2, 7, 6), "edges": (torch.rand(2, 7, 7) > 0.5).float()}
    sizes = {0: BATCH, 1: SOURCE}
    return Graph(), inputs, {"x": sizes, "edges": {**sizes, 2: SOURCE}}


MORE = [
    Case("translator", translator),
    Case("padded-encoder", padded),
    Case("graph", graph),
    Case("pools", lambda: image(Pools())),
]
