"""What torch.export is to see of the functions that a model calls."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from rewrite.any_size import call_any_size
from rewrite.constant_items import ConstantItems


class CapturedCalls(TorchFunctionMode):
    """Calls functions so that sizes may be symbols and numbers of weights are constants.

    It is one mode for both, since every question for a size or a layout goes through it: two of
    them took a fifth of a capture.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._items = ConstantItems(model)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call a function, or answer it; items of a branch of torch.cond are left as they are."""
        kwargs = kwargs or {}
        if torch.compiler.is_dynamo_compiling():
            return call_any_size(func, args, kwargs)
        return self._items.call(func, args, kwargs, call_any_size)
