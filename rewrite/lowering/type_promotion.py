"""The exporter's type promotion, without computing again what is known of each call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import fx
from torch.onnx._internal.fx.passes import type_promotion

_plain = type_promotion._TypePromotionInterpreter.run_node


@contextlib.contextmanager
def known_values() -> Iterator[None]:
    """Let a call whose operands are promoted already keep its value.

    The exporter's pass runs each call of a program on fake tensors to hand its value on, though
    the call has it: with dynamic sizes that takes a twentieth of a compile.
    """
    with mock.patch.object(type_promotion._TypePromotionInterpreter, "run_node", _run_node):
        yield


def _run_node(interpreter: Any, node: fx.Node) -> Any:
    if node.op != "call_function" or "val" not in node.meta:
        return _plain(interpreter, node)
    rule = type_promotion.get_type_promotion_rule(node, interpreter.type_promotion_table)
    if rule is not None and not _is_promoted(interpreter, node, rule):
        return _plain(interpreter, node)
    return node.meta["val"]


def _is_promoted(interpreter: Any, node: fx.Node, rule: Any) -> bool:
    """Tell whether every operand that a rule names is a tensor of the type that it asks for."""
    found = rule.preview_type_promotion(*interpreter.fetch_args_kwargs_from_env(node))
    wanted = [(operand, found.args_dtypes.get(i)) for i, operand in enumerate(node.args)]
    wanted += [(operand, found.kwargs_dtypes.get(name)) for name, operand in node.kwargs.items()]
    return all(_has_type(interpreter, operand, dtype) for operand, dtype in wanted)


def _has_type(interpreter: Any, operand: Any, dtype: torch.dtype | None) -> bool:
    if dtype is None:
        return True
    value = interpreter.env[operand] if isinstance(operand, fx.Node) else None
    return isinstance(value, torch.Tensor) and value.dtype == dtype
