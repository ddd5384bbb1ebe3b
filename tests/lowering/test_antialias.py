"""Antialiased resizes weigh pixels as torch does, on every runtime and at every size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from rewrite import capture
from rewrite.equivalence import difference
from rewrite.lowering.lower import feeds
from rewrite.runtimes import get_runtime

from .models import Call, lowered, written

SIZES = ((12, 10), (7, 9), (13, 21), (25, 8), (1, 4))
DYNAMIC = ({2: torch.export.Dim("h", min=1, max=64), 3: torch.export.Dim("w", min=1, max=64)},)
LEAST_DB = 100.0
"""Float32 weights of the same order of operations."""


def image(*sizes):
    return torch.randn(2, 3, *sizes, generator=torch.Generator().manual_seed(sum(sizes)))


def resized(x, mode):
    def to(**target):
        return F.interpolate(x, mode=mode, antialias=True, **target)

    corners = to(size=(5, 3), align_corners=True)
    return (
        to(size=(5, 17)),
        corners,
        to(scale_factor=0.6, recompute_scale_factor=False),
        to(scale_factor=1.7),
    )


def assert_agrees(program, path, runtime, *inputs):
    loaded = get_runtime(runtime).load(path, 1)
    for x in inputs:
        names = program.signature.input_names
        results = loaded.run(feeds(program, [x], names))
        pairs = [
            (expected, torch.from_numpy(results[name]))
            for name, expected in zip(program.signature.output_names, program(x), strict=True)
        ]
        found = difference(pairs).sqnr_db
        assert found >= LEAST_DB, (tuple(x.shape), found)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_weights_are_those_of_torch(runtime, mode, tmp_path):
    if not get_runtime(runtime).available():
        pytest.skip(f"{runtime} is not installed")
    model = Call(lambda x: resized(x, mode)).eval()
    program = capture(model, (image(*SIZES[0]),), DYNAMIC)
    path = written(lowered(program), tmp_path)
    usable = [sizes for sizes in SIZES if min(sizes) > 1]
    assert_agrees(program, path, runtime, *(image(*sizes) for sizes in usable))


def test_fixed_sizes_and_halves(tmp_path):
    model = Call(lambda x: (F.interpolate(x, (3, 3), mode="bilinear", antialias=True),)).eval()
    program = capture(model, (image(8, 6),))
    assert_agrees(program, written(lowered(program), tmp_path), "onnxruntime", image(8, 6))
