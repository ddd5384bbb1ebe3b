"""OPT: a pre-LN decoder with a ReLU feed-forward (Zhang et al., 2022, arXiv:2205.01068)."""

from __future__ import annotations

import torch
from torch import nn

from . import causal, docstrings
from .attention import SelfAttention
from .family import Family, Recipe


class OPTDecoderLayer(nn.Module):
    """Causal attention and a ReLU feed-forward, each normalised first and added back (pre-LN)."""

    def __init__(self, hidden_size: int, num_heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(hidden_size)
        self.self_attn = SelfAttention(hidden_size, num_heads, causal=True)
        self.final_layer_norm = nn.LayerNorm(hidden_size)
        self.fc1 = nn.Linear(hidden_size, ffn_dim)
        self.activation_fn = nn.ReLU()
        self.fc2 = nn.Linear(ffn_dim, hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, S, H) -> (N, S, H)."""
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        return x + self.fc2(self.activation_fn(self.fc1(self.final_layer_norm(x))))


class OPTForCausalLM(nn.Module):
    """Decoder with learned positions, a final LN, and a head tied to the token embeddings."""

    def __init__(
        self,
        vocab_size: int = docstrings.VOCABULARY,
        hidden_size: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        ffn_dim: int = 512,
        max_positions: int = docstrings.LENGTH,
    ) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, hidden_size)
        self.embed_positions = nn.Embedding(max_positions, hidden_size)
        self.layers = nn.ModuleList(
            OPTDecoderLayer(hidden_size, num_heads, ffn_dim) for _ in range(num_layers)
        )
        self.final_layer_norm = nn.LayerNorm(hidden_size)
        self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)
        for embedding in (self.embed_tokens, self.embed_positions):
            nn.init.normal_(embedding.weight, std=0.02)
        self.lm_head.weight = self.embed_tokens.weight

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return logits (N, S, vocabulary) of the token after each of the ids (N, S)."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.embed_tokens(input_ids) + self.embed_positions(positions)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.final_layer_norm(x))


OPT_DOCSTRINGS = Family(
    name="opt-docstrings",
    build=OPTForCausalLM,
    task=causal,
    dynamic_shapes={
        "input_ids": {
            0: torch.export.Dim("batch"),
            1: torch.export.Dim("sequence", max=docstrings.LENGTH),
        }
    },
    recipe=Recipe(steps=1500, batch_size=24, learning_rate=2e-3, weight_decay=0.01),
    summary="Pre-LN OPT decoder (ReLU, tied head) over characters, on docstrings.",
    source=f"arXiv:2205.01068; {docstrings.SOURCE}",
)
