from __future__ import annotations

from importlib import resources

import pytest
import torch
from torch import nn

from rewrite import Emitter, Target, capture
from rewrite.quantization.freeze import freeze
from rewrite.quantization.markers import OBSERVE, QUANTIZE
from rewrite.schema import argument

X = torch.ones(2, 3)


def portable() -> Target:
    text = (resources.files("rewrite_plugins") / "targets" / "portable.toml").read_text()
    return Target.parse(text, "portable")


def marked(*groups: str):
    """Return relu(x) under one mark after another, one per group."""
    program = capture(nn.ReLU().eval(), (X,))
    emit = Emitter(program)
    node = next(n for n in program.graph.nodes if n.op == "call_function")
    for group in groups:
        mark = emit.call(OBSERVE, like=node, after=node, x=node, spec="activation", group=group)
        emit.redirect(node, mark)
        node = mark
    return program


def scales(program) -> list[float]:
    calls = [n for n in program.graph.nodes if n.target is QUANTIZE]
    return [float(program.weight(argument(n, "scale").target)) for n in calls]


def test_groups_whose_names_differ_in_a_dot_keep_their_scales():
    program = marked("a.b", "a_b")
    freeze(program, portable(), {"a.b": (0.0, 255.0), "a_b": (0.0, 510.0)})
    assert scales(program) == [1.0, 2.0]


def test_marks_of_one_group_share_one_scale():
    program = marked("a", "a")
    outcome = freeze(program, portable(), {"a": (0.0, 255.0)})
    calls = [n for n in program.graph.nodes if n.target is QUANTIZE]
    assert len({argument(n, "scale") for n in calls}) == 1
    assert outcome.rewrites == 2


def test_nothing_is_left_of_the_marks():
    program = marked("a")
    freeze(program, portable(), {"a": (-1.0, 1.0)})
    assert "observe" not in program.text()
    assert float(program(X * 3).max()) == pytest.approx(1.0, abs=0.01)
