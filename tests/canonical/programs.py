"""Programs before and after canonicalisation, and the comparison between them."""

from __future__ import annotations

import importlib
from collections import Counter
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.export import Dim

from rewrite import Program, Rule, apply_rules
from rewrite.canonical import canonicalise, layout_rules
from rewrite.canonical.no_ops import drop_no_ops
from rewrite.draws import check_inputs
from rewrite.equivalence import EXACT_RELATIVE_ERROR, difference
from rewrite.interpret import run_float64
from rewrite.meta_check import wrong_values

BATCH = {0: Dim("batch", min=1, max=64)}


def raw(module: nn.Module, inputs: Any, dynamic: Any = None) -> Program:
    """Capture without canonicalising."""
    capture = importlib.import_module("rewrite.capture")
    with mock.patch.object(capture, "canonicalise", lambda program, written: None):
        return capture.capture(module.eval(), inputs, dynamic)


def canonical(
    module: nn.Module, inputs: Any, dynamic: Any = None, bound: float = EXACT_RELATIVE_ERROR
) -> Program:
    """Capture and canonicalise; hold the result to everything but its form."""
    before = raw(module, inputs, dynamic)
    after = before.clone()
    canonicalise(after)
    assert_same(before, after, bound)
    return after


def assert_same(before: Program, after: Program, bound: float = EXACT_RELATIVE_ERROR) -> None:
    """Compare in float64 on the example and on other sizes; check values and a second run."""
    for args, kwargs in check_inputs(before):
        expected, actual = run_float64(before, args, kwargs), run_float64(after, args, kwargs)
        pairs = [
            (e.double(), a.double())
            for e, a in zip(expected, actual, strict=True)
            if isinstance(e, torch.Tensor)
        ]
        assert all(e.shape == a.shape for e, a in pairs)
        assert difference(pairs).relative <= bound
        assert wrong_values(after, args, kwargs) == []
    text = after.text()
    canonicalise(after)
    assert after.text() == text


def ops(program: Program) -> Counter[str]:
    """Count the calls of a program by operator."""
    names = [n.target for n in program.graph.nodes if n.op == "call_function"]
    return Counter(str(getattr(t, "overloadpacket", t)).removeprefix("aten.") for t in names)


def reasons(rules: list[Rule], module: nn.Module, inputs: Any, dynamic: Any = None) -> list[str]:
    """Return why rules decline a module, once its layout is canonical."""
    program = raw(module, inputs, dynamic)
    drop_no_ops(program)
    apply_rules(program, layout_rules())
    return [r.reason for r in apply_rules(program, rules).rejected]


class Call(nn.Module):
    """A module that calls a function with its weights."""

    def __init__(self, function: Any, **weights: torch.Tensor) -> None:
        super().__init__()
        self.function = function
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(self, *inputs)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return seeded normal values."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
