"""Multi-head self-attention with separate projections, shared by the text models."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class SelfAttention(nn.Module):
    """Scaled dot-product attention of a sequence to itself (Vaswani et al., arXiv:1706.03762)."""

    def __init__(self, hidden_size: int, num_heads: int, causal: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = hidden_size // num_heads
        self.causal = causal
        self.q_proj = nn.Linear(hidden_size, hidden_size)
        self.k_proj = nn.Linear(hidden_size, hidden_size)
        self.v_proj = nn.Linear(hidden_size, hidden_size)
        self.out_proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(N, S, H) -> (N, S, H); `mask` is true where a key may be seen, (N, 1, 1, S)."""
        x = functional.scaled_dot_product_attention(
            self.split_heads(self.q_proj(x)),
            self.split_heads(self.k_proj(x)),
            self.split_heads(self.v_proj(x)),
            attn_mask=mask,
            is_causal=self.causal,
        )
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def split_heads(self, x: torch.Tensor) -> torch.Tensor:
        """(N, S, H) -> (N, heads, S, H / heads)."""
        return x.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)
