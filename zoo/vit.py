"""Vision Transformer, pre-LN, with a class token (Dosovitskiy et al., 2020, arXiv:2010.11929)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from . import digits
from .family import Family, Recipe


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values.

    (N, T, width) -> (N, T, width).
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the tokens."""
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    """Attention, then a two-layer MLP with GELU, each normalised first and added back."""

    def __init__(self, width: int, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, width) -> (N, T, width)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches of 2x2 pixels, so 64 tokens and the class token: (N, 1, 16, 16) -> (N, 10)."""

    def __init__(
        self,
        patch: int = 2,
        width: int = 64,
        depth: int = 4,
        num_heads: int = 4,
        mlp_ratio: int = 4,
        num_classes: int = digits.CLASSES,
    ) -> None:
        super().__init__()
        tokens = (digits.SIDE // patch) ** 2 + 1
        self.patch_embed = nn.Conv2d(1, width, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, num_heads, mlp_ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the class logits, read from the class token."""
        x = self.patch_embed(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        x = self.blocks(x + self.pos_embed)
        return self.head(self.norm(x)[:, 0])


VIT_DIGITS = Family(
    name="vit-digits",
    build=VisionTransformer,
    task=digits,
    dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
    recipe=Recipe(steps=1500, batch_size=64, learning_rate=2e-3, label_smoothing=0.05),
    summary="Pre-LN vision transformer (class token, fused QKV, GELU) on handwritten digits.",
    source=f"arXiv:2010.11929; {digits.SOURCE}",
)
