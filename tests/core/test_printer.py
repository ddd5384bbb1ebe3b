from __future__ import annotations

import torch
from torch import nn

from rewrite import Emitter, capture
from rewrite.printer import diff_programs

aten = torch.ops.aten


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.register_buffer("mask", torch.tensor([True, False]))

    def forward(self, image, ids=None):
        y = self.conv(image).relu()
        top, index = y.mean((2, 3), dtype=torch.float32).topk(2)
        return {"top": top, "parts": [index, (ids + 1).to(torch.float16)], "mask": self.mask}


def program():
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=2)
    inputs = {"image": torch.randn(2, 3, 8, 8), "ids": torch.zeros(2, dtype=torch.int64)}
    return capture(Model().eval(), inputs, {"image": {0: batch}, "ids": {0: batch}})


TEXT = """\
program(%image: f32[batch, 3, 8, 8], %ids: i64[batch]):
  %0 = conv2d(%image, @conv.weight, @conv.bias, stride=[2, 2])  # f32[batch, 4, 3, 3]
  %1 = relu(%0)                                                 # f32[batch, 4, 3, 3]
  %2 = mean(%1, dim=[2, 3], dtype=f32)                          # f32[batch, 4]
  %3 = topk(%2, k=2)                                            # (f32[batch, 2], i64[batch, 2])
  %4 = getitem(%3, 0)                                           # f32[batch, 2]
  %5 = getitem(%3, 1)                                           # i64[batch, 2]
  %6 = add(%ids, other=1)                                       # i64[batch]
  %7 = _to_copy(%6, dtype=f16)                                  # f16[batch]
  return top=%4, parts.0=%5, parts.1=%7, mask=@mask
"""


def test_the_text_of_a_program():
    assert program().text() == TEXT


def test_the_text_does_not_depend_on_what_was_erased_or_named():
    p = program()
    emit = Emitter(p)
    relu = next(n for n in p.graph.nodes if n.target is aten.relu.default)
    emit.replace(relu, emit.call(aten.relu.default, like=relu, self=relu.args[0]))
    assert p.text() == TEXT


def test_a_stable_text_keeps_names_and_does_not_align():
    lines = program().text(stable=True).splitlines()
    assert lines[2] == "  %relu = relu(%conv2d)  # f32[batch, 4, 3, 3]"


def test_a_diff_shows_only_what_changed():
    before = program()
    after = before.clone()
    emit = Emitter(after)
    relu = next(n for n in after.graph.nodes if n.target is aten.relu.default)
    emit.replace(relu, emit.call(aten.abs.default, like=relu, self=relu.args[0]))
    changed = [
        line
        for line in diff_programs(before, after, context_lines=0).splitlines()
        if line[0] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert [line.partition("  #")[0] for line in changed] == [
        "-  %relu = relu(%conv2d)",
        "-  %mean = mean(%relu, dim=[2, 3], dtype=f32)",
        "+  %abs_default = abs(%conv2d)",
        "+  %mean = mean(%abs_default, dim=[2, 3], dtype=f32)",
    ]


def test_the_diff_of_a_copy_is_empty():
    p = program()
    assert diff_programs(p, p.clone()) == ""


def test_an_overload_that_matters_is_named():
    class Pool(nn.Module):
        def forward(self, x):
            return torch.div(x, 2.0, rounding_mode="floor")

    text = capture(Pool().eval(), (torch.randn(2),)).text()
    assert "div.Tensor_mode(%x, other=2.0, rounding_mode='floor')" in text
