"""The exporter's translations are read once, and nobody's own stay in them."""

from __future__ import annotations

import torch
from onnxscript import opset20 as op
from torch import nn

from rewrite import capture
from rewrite.lowering import registry
from rewrite.lowering.export import export_onnx


def hard(self):
    """Translate a sigmoid as something else."""
    return op.HardSigmoid(self)


def ops(program, table):
    return [node.op_type for node in export_onnx(program, 20, table).graph]


def test_translations_of_ones_own_are_for_one_export():
    program = capture(nn.Sigmoid().eval(), (torch.randn(2, 4),))
    assert "HardSigmoid" in ops(program, {torch.ops.aten.sigmoid.default: hard})
    assert ops(program, {}) == ["Sigmoid"]


def test_it_is_read_once(monkeypatch):
    program = capture(nn.Sigmoid().eval(), (torch.randn(2, 4),))
    ops(program, {})
    monkeypatch.setattr(registry, "_read_from_torchlib", None)
    assert ops(program, {}) == ["Sigmoid"]


def test_what_is_read_is_what_the_exporter_reads():
    read, plain = registry._read(), registry._read_from_torchlib()
    assert len(plain.functions) > 300
    assert read.functions == plain.functions
