"""The operator and line for which a runtime refuses a file, where it does not say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.lowering import first_refused as module
from rewrite.lowering.first_refused import refusal
from rewrite.runtimes import RuntimeFailure

from .models import Call, lowered


@dataclass
class Picky:
    """A runtime that does not load some operators, and names none of them."""

    dislikes: tuple[str, ...]
    name: str = "picky"
    loads: int = 0

    def load(self, path: Path, threads: int = 0) -> Any:
        self.loads += 1
        found = [n.op_type for n in onnx.load(path).graph.node]
        if any(each in found for each in self.dislikes):
            raise RuntimeFailure("picky cannot compile the model", "ask it why")
        return object()


def chain():
    def forward(x):
        a = x.exp()
        for _ in range(20):
            a = a.abs() + 1
        b = a.sin()
        for _ in range(20):
            b = b.abs() + 1
        return b.cos(), a.sum()

    return lowered(capture(Call(forward).eval(), (torch.randn(3, 4),)), 20).model


FAILURE = RuntimeFailure("picky cannot compile the model", "ask it why")


@pytest.mark.parametrize(
    ("dislikes", "operator", "line"),
    [
        (("Exp",), "Exp", "a = x.exp()"),
        (("Sin", "Cos"), "Sin", "b = a.sin()"),
        (("Cos",), "Cos", "return b.cos(), a.sum()"),
    ],
)
def test_the_first_operator_that_is_refused_is_named(dislikes, operator, line):
    runtime = Picky(dislikes)
    error = refusal(chain(), runtime, FAILURE, 1)
    assert f"(in front of {operator} '" in error.what
    assert error.what.startswith("picky cannot compile the model (")
    assert str(error.where).endswith(line)
    assert error.hint == "ask it why"
    # Of some 90 nodes, each try halves what is left.
    assert runtime.loads <= 9


def test_a_message_that_names_the_operator_needs_no_search():
    runtime = Picky(("Sin",))
    error = refusal(chain(), runtime, RuntimeFailure("no kernel for Sin"), 1)
    assert str(error.where).endswith("b = a.sin()")
    assert error.what == "no kernel for Sin"
    assert runtime.loads == 0


def test_a_file_that_loads_is_not_cut():
    """What fails is a run, or another file."""
    runtime = Picky(())
    error = refusal(chain(), runtime, RuntimeFailure("picky cannot run the model"), 1)
    assert (error.what, error.where) == ("picky cannot run the model", None)
    assert runtime.loads == 1


def test_a_large_file_is_not_written_again(monkeypatch):
    monkeypatch.setattr(module, "_LARGEST", -1)
    runtime = Picky(("Sin",))
    assert refusal(chain(), runtime, FAILURE, 1).where is None
    assert runtime.loads == 0


def test_a_full_disk_does_not_hide_what_was_said(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.ir, "save", full)
    error = refusal(chain(), Picky(("Sin",)), FAILURE, 1)
    assert (error.what, error.where) == (FAILURE.what, None)


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        y = x.exp()
        z = torch.cond(x.sum() > 0, lambda x: self.one(x) + y, lambda x: self.other(x), (x,))
        return z.sin()


@pytest.mark.parametrize("operator", ["Exp", "If", "Sin"])
def test_a_branch_that_reads_values_around_it_is_cut_off_whole(operator):
    model = lowered(capture(Branch().eval(), (torch.randn(2, 4),)), 20).model
    assert f"(in front of {operator} '" in refusal(model, Picky((operator,)), FAILURE, 1).what


def test_the_model_is_as_it_was():
    model = chain()
    before = [n.name for n in model.graph], [v.name for v in model.graph.outputs]
    refusal(model, Picky(("Sin",)), FAILURE, 1)
    assert before == ([n.name for n in model.graph], [v.name for v in model.graph.outputs])
