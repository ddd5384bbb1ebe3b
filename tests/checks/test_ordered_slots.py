"""What a sort orders is followed through moves, norms and attention to the outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from rewrite import capture
from rewrite.checks.carried_axes import carried
from rewrite.checks.ordered_slots import ordered_slots


class Decoder(nn.Module):
    """Queries picked by a TopK, which see one another and an image at places of their own."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.place = nn.Linear(8, 2)
        self.box = nn.Linear(8, 4)

    def forward(self, tokens, image):
        at = tokens.amax(-1).topk(3, dim=1).indices
        x = tokens.gather(1, at.unsqueeze(-1).repeat(1, 1, 8))
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + functional.scaled_dot_product_attention(q, k, v)
        grid = self.place(x).tanh().unsqueeze(2)
        seen = functional.grid_sample(image, grid, align_corners=False)
        return {"boxes": self.box(x + seen.squeeze(-1).transpose(1, 2)), "all": tokens * 2}


def orders(model, *inputs):
    return ordered_slots(capture(model.eval(), inputs))


def test_queries_of_a_decoder_stay_in_their_order():
    found = orders(Decoder(), torch.randn(2, 9, 8), torch.randn(2, 8, 5, 5))
    assert found == [{"boxes": 1}]


class Moved(nn.Module):
    """The rows that a sort ordered, moved in some way."""

    def __init__(self, move):
        super().__init__()
        self.move = move

    def forward(self, x):
        return self.move(x.sort(dim=1, descending=True).values)


@pytest.mark.parametrize(
    ("move", "axis"),
    [
        (lambda x: x.repeat(2, 1, 1, 1), 2),
        (lambda x: x.flip(0), 1),
        (lambda x: x.roll(1, -1), 1),
        (lambda x: functional.pad(x, (1, 2)), 1),
        (lambda x: x.repeat_interleave(2, dim=2), 1),
        (lambda x: x.unbind(0)[1], 0),
        (lambda x: functional.layer_norm(x, (4,)), 1),
    ],
)
def test_what_leaves_the_slots_alone_keeps_their_axis(move, axis):
    assert orders(Moved(move), torch.randn(2, 6, 4)) == [{"output": axis}]


@pytest.mark.parametrize(
    "move",
    [
        lambda x: x.repeat(1, 2, 1),
        lambda x: x.roll(1, 1),
        lambda x: functional.pad(x, (0, 0, 1, 0)),
        lambda x: x.repeat_interleave(2, dim=1),
        lambda x: functional.layer_norm(x, (6, 4)),
        lambda x: x.cumsum(1),
    ],
)
def test_what_mixes_or_doubles_the_slots_ends_their_order(move):
    assert orders(Moved(move), torch.randn(2, 6, 4)) == []


def test_a_number_carries_no_axis():
    class Picked(nn.Module):
        def forward(self, x, at):
            return x.sum().index_select(0, at)

    program = capture(Picked().eval(), (torch.ones(3), torch.zeros(1, dtype=torch.int64)))
    assert not any(carried(node) for node in program.graph.nodes if "index" in node.name)


@pytest.mark.parametrize("choose", [lambda x: x[x > 0], lambda x: x[x[..., 0] > 0]])
def test_a_mask_leaves_no_order_to_follow(choose):
    assert orders(Moved(choose), torch.randn(2, 9, 8)) == []
