"""Layers of torch as they are written, without shortcuts and rounding that no file can hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.nn.modules import transformer


@contextlib.contextmanager
def plain_layers() -> Iterator[None]:
    """Let `nn.TransformerEncoder` and `nn.MultiheadAttention` compute layer by layer.

    Their fast path drops padded tokens and returns zeros in their place, which torch.export does
    not capture: what stands at a padded token would differ.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def without_mask_detection() -> Iterator[None]:
    """Take every mask for what it holds.

    `nn.TransformerEncoder` and `nn.TransformerDecoder` look into a mask for whether it is causal,
    which branches on values. The answer only chooses between kernels.
    """
    with mock.patch.object(transformer, "_detect_is_causal_mask", _as_told):
        yield


def _as_told(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
    return is_causal is True


_ASKED: list[list[torch.dtype]] = []
"""Whoever wants to know what autocast is asked for."""


@contextlib.contextmanager
def without_autocast() -> Iterator[list[torch.dtype]]:
    """Let a model compute in the types that its weights have, and note those it asks for instead.

    What autocast rounds to half precision is computed in full, as weights of half precision are:
    few kernels of a processor take these types.
    """
    autocast: Any = torch.autocast

    def enter(region: Any) -> Any:
        for asked in _ASKED if region._enabled else ():
            asked.append(region.fast_dtype)
        return region

    _ASKED.append([])
    try:
        with (
            mock.patch.object(autocast, "__enter__", enter),
            mock.patch.object(autocast, "__exit__", lambda *_: None),
        ):
            yield _ASKED[-1]
    finally:
        _ASKED.pop()
