"""Roots of sizes that are symbols."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch

_plain_root = math.sqrt


@contextlib.contextmanager
def symbolic_roots() -> Iterator[None]:
    """Let math.sqrt of a size stay a formula: it asks for the value otherwise, and fixes it.

    torch.export takes no other function of math in a graph.
    """
    with mock.patch.object(math, "sqrt", _square_root):
        yield


def _square_root(x: Any, /) -> Any:
    return torch.sym_sqrt(x) if isinstance(x, torch.SymInt | torch.SymFloat) else _plain_root(x)
