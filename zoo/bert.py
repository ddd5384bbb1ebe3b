"""BERT: a post-LN encoder with a masked-token head (Devlin et al., 2018, arXiv:1810.04805)."""

from __future__ import annotations

import math

import torch
from torch import nn

from . import docstrings, masked
from .attention import SelfAttention
from .family import Family, Recipe


class BertEmbeddings(nn.Module):
    """Sum of token and position embeddings, normalised: (N, S) -> (N, S, H)."""

    def __init__(self, vocab_size: int, hidden_size: int, max_positions: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, hidden_size, padding_idx=docstrings.PAD)
        self.position_embeddings = nn.Embedding(max_positions, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=1e-12)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Embed the tokens."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        return self.norm(self.word_embeddings(input_ids) + self.position_embeddings(positions))


class BertLayer(nn.Module):
    """Attention and a GELU feed-forward, each added back and then normalised (post-LN)."""

    def __init__(self, hidden_size: int, num_heads: int, intermediate_size: int) -> None:
        super().__init__()
        self.attention = SelfAttention(hidden_size, num_heads)
        self.attention_norm = nn.LayerNorm(hidden_size, eps=1e-12)
        self.intermediate = nn.Linear(hidden_size, intermediate_size)
        self.activation = nn.GELU()
        self.output = nn.Linear(intermediate_size, hidden_size)
        self.output_norm = nn.LayerNorm(hidden_size, eps=1e-12)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(N, S, H) -> (N, S, H)."""
        x = self.attention_norm(x + self.attention(x, mask))
        return self.output_norm(x + self.output(self.activation(self.intermediate(x))))


class BertForMaskedLM(nn.Module):
    """Encoder and masked-token head, whose decoder is tied to the token embeddings."""

    def __init__(
        self,
        vocab_size: int = docstrings.VOCABULARY,
        hidden_size: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        intermediate_size: int = 512,
        max_positions: int = docstrings.LENGTH,
    ) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(vocab_size, hidden_size, max_positions)
        self.layers = nn.ModuleList(
            BertLayer(hidden_size, num_heads, intermediate_size) for _ in range(num_layers)
        )
        self.transform = nn.Sequential(
            nn.Linear(hidden_size, hidden_size), nn.GELU(), nn.LayerNorm(hidden_size, eps=1e-12)
        )
        self.decoder = nn.Linear(hidden_size, vocab_size)
        nn.init.normal_(self.embeddings.word_embeddings.weight, std=0.02)
        with torch.no_grad():
            self.embeddings.position_embeddings.weight.copy_(
                0.02 * sinusoids(max_positions, hidden_size)
            )
        self.decoder.weight = self.embeddings.word_embeddings.weight

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return logits (N, S, vocabulary) of ids and mask (N, S); the mask is 0 on padding."""
        mask = attention_mask[:, None, None, :].to(torch.bool)
        x = self.embeddings(input_ids)
        for layer in self.layers:
            x = layer(x, mask)
        return self.decoder(self.transform(x))


def sinusoids(length: int, width: int) -> torch.Tensor:
    """Return sines and cosines (length, width) of falling frequency (arXiv:1706.03762, 3.5).

    The positions are learned, but begin here: in a short training it finds the neighbours sooner.
    """
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(1e4) / width))
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)


_DYNAMIC = {
    0: torch.export.Dim("batch"),
    1: torch.export.Dim("sequence", max=docstrings.LENGTH),
}

BERT_DOCSTRINGS = Family(
    name="bert-docstrings",
    build=BertForMaskedLM,
    task=masked,
    dynamic_shapes={"input_ids": _DYNAMIC, "attention_mask": _DYNAMIC},
    recipe=Recipe(steps=5000, batch_size=8, learning_rate=1e-3, weight_decay=0.01),
    summary="Post-LN BERT encoder over characters, with padding, on docstrings.",
    source=f"arXiv:1810.04805; {docstrings.SOURCE}",
)
