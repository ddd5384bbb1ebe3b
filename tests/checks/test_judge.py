"""The worst part of the worst output decides: joined parts, sorted slots, channels of one scale."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.checks.judge import Judge
from rewrite.equivalence import difference

Dim = torch.export.Dim


class Detector(nn.Module):
    """Boxes in pixels and scores, level after level."""

    def forward(self, near, far):
        levels = [torch.cat([x[:, :4] * 600, x[:, 4:].sigmoid()], 1) for x in (near, far)]
        return torch.cat(levels, 2).permute(0, 2, 1)


class Best(nn.Module):
    """The best k rows: boxes and labels gathered by a TopK over scores."""

    def forward(self, scores, boxes):
        best, label = scores.max(-1)
        value, at = best.topk(5, dim=1)
        chosen = boxes.gather(1, at[..., None].expand(-1, -1, 4))
        return {"score": value.sqrt(), "boxes": chosen * 2, "label": label.gather(1, at)}


class Depth(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.register_buffer("scale", torch.tensor([80.0, 1.0, 1.5]).view(3, 1, 1))

    def forward(self, x):
        return self.conv(x) * self.scale


def judged(program, actual_of, inputs=None):
    """Take apart what a program computes and what `actual_of` makes of it."""
    args = inputs or program.example[0]
    flat = program.signature.flatten_inputs(args, {})
    leaves = torch.utils._pytree.tree_leaves(program(*args))
    named = dict(zip(program.signature.output_names, leaves, strict=True))
    outputs = {name: (value, actual_of(name, value)) for name, value in named.items()}
    return Judge(program).take_apart(outputs, flat)


def rounded(name, value):
    """Round to steps of one scale for the whole tensor, as int8 does."""
    step = value.abs().max() / 127
    return (value / step).round() * step


def detector():
    torch.manual_seed(0)
    n, m = Dim("n", min=2, max=64), Dim("m", min=2, max=64)
    example = (torch.randn(2, 6, 5), torch.randn(2, 6, 3))
    return capture(Detector().eval(), example, ({2: n}, {2: m}))


def test_every_part_of_a_join_stands_for_itself():
    found = judged(detector(), rounded)
    labels = [name for name, _, _ in found.pairs]
    assert labels == [
        "output[:, 0:5, 0:4]",
        "output[:, 0:5, 4:6]",
        "output[:, 5:8, 0:4]",
        "output[:, 5:8, 4:6]",
    ]
    worst = difference([(e, a) for _, e, a in found.pairs], labels)
    assert worst.sqnr_db < 3
    assert worst.output.endswith("4:6]")


def test_parts_are_where_they_are_at_other_sizes():
    other = (torch.randn(2, 6, 7), torch.randn(2, 6, 2))
    found = judged(detector(), rounded, other)
    assert found.pairs[2][0] == "output[:, 7:9, 0:4]"
    assert sum(expected.numel() for _, expected, _ in found.pairs) == 2 * 9 * 6


def test_stacked_values_are_parts():
    class Stacked(nn.Module):
        def forward(self, x):
            return torch.stack([x * 1000, x.tanh()], -1)

    found = judged(capture(Stacked().eval(), (torch.randn(4, 3),)), rounded)
    assert [name for name, _, _ in found.pairs] == ["output[:, :, 0:1]", "output[:, :, 1:2]"]


def test_what_mixes_the_parts_is_one_tensor():
    class Mixed(nn.Module):
        def forward(self, x):
            return torch.cat([x * 100, x], 1).softmax(1)

    found = judged(capture(Mixed().eval(), (torch.randn(4, 3),)), rounded)
    assert [name for name, _, _ in found.pairs] == ["output"]


def best():
    torch.manual_seed(0)
    return capture(Best().eval(), (torch.rand(2, 40, 3), torch.randn(2, 40, 4)))


def test_sorted_slots_are_compared_as_sets():
    order = torch.tensor([[1, 0, 2, 4, 3], [0, 1, 3, 2, 4]])

    def swapped(name, value):
        index = order if value.dim() == 2 else order[..., None].expand_as(value)
        return value.gather(1, index)

    found = judged(best(), swapped)
    assert (found.found, found.slots) == (10, 10)
    assert all(torch.equal(expected, actual) for _, expected, actual in found.pairs)


def test_a_slot_that_is_not_there_is_counted():
    def other(name, value):
        changed = value.clone()
        changed[0, 4] = -changed[0, 4] if value.is_floating_point() else 99
        return changed

    found = judged(best(), other)
    assert (found.found, found.slots) == (9, 10)


def test_slots_of_a_wrong_result_are_not_found():
    torch.manual_seed(3)
    found = judged(best(), lambda name, value: value[torch.randperm(2)].flip(-1) * -1)
    assert found.found == 0


def test_what_no_sort_orders_is_compared_place_by_place():
    class Shifted(nn.Module):
        def forward(self, x):
            return x.topk(3, dim=1).values.sum(1), x * 2

    found = judged(
        capture(Shifted().eval(), (torch.randn(2, 6),)), lambda name, value: value.flip(0)
    )
    assert found.slots == 0
    assert not torch.equal(*found.pairs[1][1:])


def test_channels_of_unlike_scale_are_judged_apart():
    torch.manual_seed(0)
    program = capture(Depth().eval(), (torch.randn(2, 3, 8, 8),))
    found = judged(program, rounded)
    assert [name for name, _, _ in found.pairs] == ["output[:, 1:3]", "output[:, 0:1]"]
    assert difference([found.pairs[0][1:]]).sqnr_db < 20 < difference([found.pairs[1][1:]]).sqnr_db


@pytest.mark.parametrize("last", [torch.sigmoid, lambda x: x.softmax(1)])
def test_small_shares_are_small_on_purpose(last):
    class Shares(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return last(self.layer(x) * torch.tensor([-40.0, 1.0, 1.0]))

    found = judged(capture(Shares().eval(), (torch.randn(5, 4),)), rounded)
    assert [name for name, _, _ in found.pairs] == ["output"]
