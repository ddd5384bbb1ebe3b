"""Patterns of layers: what they match, and what becomes of those that match nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rewrite_plugins.halve_floats import HalveFloats
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.quantize_weights import QuantizeWeights
from torch import nn

from rewrite import Context, Pass, UsageError, capture
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite.quantization.layer_patterns import Names, matches

TARGET = PluginHost().find_target("portable")
OPTIONS: dict[str, tuple[type[Pass], str, str]] = {
    "insert-quantizers skip": (InsertQuantizers, "skip", ""),
    "insert-quantizers override": (InsertQuantizers, "override", "=float"),
    "quantize-weights skip": (QuantizeWeights, "skip", ""),
    "quantize-weights override": (QuantizeWeights, "override", "=float"),
    "halve-floats keep": (HalveFloats, "keep", ""),
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x).relu())


def outcome(option: str, *patterns: str) -> Any:
    """Return what the pass did with these patterns in one of its options."""
    pass_, name, suffix = OPTIONS[option]
    more = {"form": "storage", "least": 0} if pass_ is HalveFloats else {}
    made = pass_(**{name: tuple(f"{pattern}{suffix}" for pattern in patterns)}, **more)
    torch.manual_seed(0)
    program = capture(Net().eval(), (torch.randn(3, 32),))
    return run_passes(program, [made], Context(target=TARGET)).reports[0].outcome


def notes(option: str, *patterns: str) -> list[str]:
    return [note for note in outcome(option, *patterns).notes if "matches nothing" in note]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_name_that_matches_nothing_is_told(option):
    name = option.split()[1]
    assert notes(option, "haed", "head", "zzz") == [
        f"{name} 'haed' matches nothing; did you mean 'head'?",
        f"{name} 'zzz' matches nothing",
    ]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("pattern", ["head", "hea*", "head.weight", "linear_1", "relu"])
def test_what_matches_is_not_told(option, pattern):
    assert notes(option, pattern) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_a_kind_that_does_not_exist_is_an_error(option):
    with pytest.raises(UsageError, match="unknown kind of operator 'linaer'") as caught:
        outcome(option, "op:linaer")
    assert caught.value.where == f"{option.split()[1]} 'op:linaer'"
    assert caught.value.hint == "did you mean 'linear'?"


@pytest.mark.parametrize("option", OPTIONS)
def test_a_kind_may_be_missing_in_the_program(option):
    assert notes(option, "op:conv", "op:*-pool") == []


@pytest.mark.parametrize("option", OPTIONS)
def test_kinds_are_matched(option):
    found = outcome(option, "op:lin*")
    assert found.rewrites == 0 or option.startswith("insert-quantizers")
    assert {r.reason.split(" on")[0] for r in found.rejected} <= {"left float", "left float32"}
    assert len(found.rejected) >= 2


@pytest.mark.parametrize(
    "pattern", ["0", "0.weight", "linear_1", "op:linear", "*", "[0]", "no", ""]
)
def test_a_name_is_looked_up_as_it_is_matched(pattern: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4, bias=False))
    program = capture(model.eval(), (torch.randn(2, 4),))
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    expected = [node for node in calls if matches(node, pattern)]
    assert Names(calls).matching(pattern) == expected
    assert bool(expected) == (pattern not in ("no", ""))
