"""Maps become tokens in three dimensions, where layers of tokens work on them."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.flatten_maps import FlattenMaps
from rewrite_plugins.flatten_tokens import FlattenTokens
from rewrite_plugins.lay_out_linear import LayOutLinear
from torch import nn
from torch.export import Dim

from rewrite.quantization.markers import QUANTIZE
from rewrite.testing import check_declines, check_pass, randomise_

from .models import GOLDEN, Call, captured, ops, randn, run

FLATTEN = FlattenMaps()
BATCHED = FlattenTokens(form="batched")
IMAGE = randn(2, 4, 3, 5)
BATCH = {"inputs": ({0: Dim("batch", min=1, max=64)},)}
HEIGHT = {"inputs": ({2: Dim("height", min=2, max=64)},)}


def laid_out(forward, x: torch.Tensor = IMAGE, dynamic=None):
    """Capture a network with layers for maps and tokens, linear ones as products."""
    torch.manual_seed(0)
    model = Call(
        forward,
        depthwise=nn.Conv2d(4, 4, 3, padding=1, groups=4),
        norm=nn.LayerNorm(4),
        rms=nn.RMSNorm(4),
        up=nn.Linear(4, 6),
        down=nn.Linear(6, 4),
        scale=torch.rand(4),
    )
    return run(captured(randomise_(model), x, dynamic=dynamic), LayOutLinear(form="matmul"))


def block(m, x):
    """A block of a ConvNeXt (Liu et al., 2022), which permutes to channels last and back."""
    y = m.norm(m.depthwise(x).permute(0, 2, 3, 1))
    y = m.down(torch.nn.functional.gelu(m.up(y))) * m.scale
    return x + y.permute(0, 3, 1, 2)


@pytest.mark.parametrize("dynamic", [None, BATCH])
def test_a_convnext_block_works_on_three_dimensions(dynamic):
    program = check_pass(FLATTEN, laid_out(block, dynamic=dynamic), rewrites=3)
    golden = GOLDEN / f"flatten-maps-block{'-dynamic' if dynamic else ''}.txt"
    program = check_pass(BATCHED, program, golden=golden)
    assert ops(program).count("permute") == ops(program).count("reshape") == 2


def test_a_norm_of_windows_is_one_of_tokens():
    program = laid_out(lambda m, x: m.norm(x), randn(2, 3, 5, 2, 4))
    program = check_pass(FLATTEN, program, rewrites=1)
    assert ops(program) == ["reshape", "layer_norm", "reshape"]


def test_a_root_mean_square_norm_of_turned_maps_works_on_tokens():
    program = laid_out(lambda m, x: m.rms(x.permute(0, 2, 3, 1)))
    program = run(check_pass(FLATTEN, program, rewrites=1), BATCHED)
    assert ops(program) == ["reshape", "permute", "rms_norm", "reshape"]


def test_a_root_mean_square_norm_of_heads_is_left():
    """Runtimes have a kernel for it."""
    program = laid_out(lambda m, x: m.rms(x), randn(2, 3, 5, 4))
    assert check_declines(FLATTEN, program).text() == program.text()


def test_a_clip_is_turned_as_an_image_is():
    def forward(m, x):
        return m.norm(x.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)

    program = run(check_pass(FLATTEN, laid_out(forward, randn(2, 4, 3, 5, 2)), rewrites=3), BATCHED)
    assert ops(program) == ["reshape", "permute", "layer_norm", "permute", "reshape"]


def turn(x: torch.Tensor) -> torch.Tensor:
    """Make the channels of normalised tokens the first of four dimensions."""
    return x.permute(0, 2, 1).reshape(-1, 4, 3, 5)


SUNK = {
    "a sum": (lambda m, x, y: turn(x) + turn(y), ["add", "permute", "reshape"]),
    "a difference": (lambda m, x, y: turn(y) - turn(x), ["sub", "permute", "reshape"]),
    "a gate": (lambda m, x, y: turn(x).sigmoid() * turn(y), ["sigmoid", "mul", "permute"]),
    "twice": (lambda m, x, y: (turn(x) + turn(y)).relu() + turn(x), ["add", "relu", "add"]),
}


@pytest.mark.parametrize("case", SUNK)
def test_what_is_elementwise_works_on_tokens(case):
    forward, wanted = SUNK[case]
    program = captured(Call(forward), randn(2, 15, 4), randn(2, 15, 4, seed=1))
    assert ops(check_pass(FLATTEN, program))[: len(wanted)] == wanted


def test_a_quantizer_turns_bytes():
    def forward(m, x):
        y = turn(x)
        return QUANTIZE(y, m.scale, m.zero_point, 0, 255), y

    model = Call(forward, scale=torch.tensor(0.02))
    model.register_buffer("zero_point", torch.tensor(128))
    program = check_pass(FLATTEN, captured(model, randn(2, 15, 4)), rewrites=1)
    assert ops(program) == ["permute", "reshape", "rewrite.quantize", "permute", "reshape"]


DECLINES = {
    "height and width change places": (
        lambda m, x: m.up(x.permute(0, 3, 2, 1)),
        "it does not make channels the last of four or more dimensions",
    ),
    "nor are channels the first": (
        lambda m, x: m.up(x.permute(0, 3, 2, 1)),
        "it does not make channels the first of four or more dimensions",
    ),
    "a key": (
        lambda m, x: x.permute(0, 2, 1, 3) @ x.relu().permute(0, 2, 3, 1),
        "no layer of tokens reads it",
    ),
    "nobody's tokens": (
        lambda m, x: x.softmax(-1).permute(0, 3, 1, 2),
        "no layer of tokens gives it",
    ),
    "an image": (
        lambda m, x: nn.functional.layer_norm(x, (3, 5)),
        "it normalises more than the last dimension",
    ),
    "a vector": (
        lambda m, x: turn(x.flatten(2).mT.exp()) + m.scale[:, None, None],
        "one of its inputs is not turned tokens",
    ),
    "other sizes": (
        lambda m, x: turn(x.flatten(2).mT.exp()) + turn(x[:1].flatten(2).mT.exp()),
        "its inputs differ in shape",
    ),
    "two readers": (
        lambda m, x: (y := turn(x.flatten(2).mT.exp())).relu() + y.flip(1),
        "something else reads the turned tokens",
    ),
    "not turned": (lambda m, x: x.relu(), "its input is not turned tokens"),
    "tokens": (lambda m, x: m.norm(x.flatten(2)[..., :4]), "it has no dimensions to flatten"),
}


@pytest.mark.parametrize("case", DECLINES)
def test_it_declines(case):
    forward, reason = DECLINES[case]
    program = laid_out(forward)
    after = check_declines(FLATTEN, program, reason=reason)
    assert after.text() == program.text()


def test_unknown_heights_are_left():
    program = laid_out(block, dynamic=HEIGHT)
    after = check_declines(FLATTEN, program, reason="sizes other than the batch are unknown")
    assert after.text() == program.text()
