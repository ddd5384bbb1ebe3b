"""Pools: as many windows as torch has, and its averages, on every runtime."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

from rewrite import capture
from rewrite.lowering.lower import feeds
from rewrite.runtimes import get_runtime

from .models import TOLERANCE, Call, assert_agrees, lowered, written

RUNTIMES = ("onnxruntime", "openvino")
AVERAGES = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
MAXIMA = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
EXAMPLES = 8


def image(*sizes, batch=2, channels=3):
    # Positive, so that a window of padding alone is seen; and without ties.
    count = batch * channels * int(np.prod(sizes))
    values = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    return 1 + values.reshape(batch, channels, *sizes) / count


def agrees(pool, images, *, dynamic, folder):
    """Hold pools of images of several sizes to torch, on each runtime; return its operators."""
    spatial = images[0].dim() - 2
    shapes, least = None, min(size for x in images for size in x.shape[2:])
    if dynamic:
        sizes = {2 + i: torch.export.Dim(f"s{i}", min=least, max=64) for i in range(spatial)}
        shapes = ({0: torch.export.Dim("batch", max=16), **sizes},)
    program = capture(Call(pool).eval(), (images[0],), shapes)
    result = lowered(program)
    path = written(result, folder)
    for runtime in RUNTIMES:
        loaded = get_runtime(runtime).load(path, 1)
        for x in images if dynamic else images[:1]:
            found = loaded.run(feeds(program, [x], program.signature.input_names))
            for name, value in zip(
                program.signature.output_names, pytree.tree_leaves(pool(x)), strict=True
            ):
                assert found[name].shape == tuple(value.shape), runtime
                np.testing.assert_allclose(found[name], value, rtol=0, atol=TOLERANCE)
    return result.ops()


CEIL = {
    "the last window would begin outside": (1, {"kernel_size": 2, "stride": 3}, (6,)),
    "the last window reaches out": (2, {"kernel_size": 3, "stride": 2}, (8, 10)),
    "padding before and behind": (2, {"kernel_size": 3, "stride": 2, "padding": 1}, (8, 9)),
    "a volume": (3, {"kernel_size": 2, "stride": 3, "padding": 1}, (7, 8, 9)),
}


def test_a_size_known_now_needs_no_ceil_mode(tmp_path):
    image_of_six = image(6)
    agrees(
        lambda x: F.max_pool1d(x, 2, 3, ceil_mode=True),
        [image_of_six],
        dynamic=False,
        folder=tmp_path,
    )
    (pool,) = [n for n in ir.load(tmp_path / "model.onnx").graph if n.op_type == "MaxPool"]
    assert pool.attributes.get_int("ceil_mode", 0) == 0


@pytest.mark.parametrize("case", CEIL)
@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
def test_ceil_mode(case, dynamic, tmp_path):
    spatial, options, sizes = CEIL[case]
    images = [image(*sizes), image(*(size + 1 for size in sizes)), image(*(s + 2 for s in sizes))]

    def pools(x):
        return (
            MAXIMA[spatial](x, ceil_mode=True, **options),
            AVERAGES[spatial](x, ceil_mode=True, **options),
            AVERAGES[spatial](x, ceil_mode=True, count_include_pad=False, **options),
        )

    agrees(pools, images, dynamic=dynamic, folder=tmp_path)


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("ceil", [False, True], ids=["floor", "ceil"])
def test_places_of_maxima(ceil, dilation, dynamic, tmp_path):
    def pool(x):
        return F.max_pool2d_with_indices(x, (2, 3), (4, 2), 1, dilation, ceil)

    agrees(pool, [image(14, 9), image(11, 12), image(13, 7)], dynamic=dynamic, folder=tmp_path)


def test_a_padded_average_that_rounds_down_is_one_operator(tmp_path):
    ops = agrees(lambda x: F.avg_pool2d(x, 3, 2, 1), [image(8, 9)], dynamic=True, folder=tmp_path)
    assert set(ops) == {"AveragePool"}


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
def test_a_divisor_divides_whole_windows_and_others(dynamic, tmp_path):
    def pool(x):
        return F.avg_pool2d(x, (3, 2), (2, 3), 1, ceil_mode=True, divisor_override=5)

    agrees(pool, [image(8, 9), image(9, 7), image(7, 10)], dynamic=dynamic, folder=tmp_path)


@pytest.mark.parametrize("spatial", MAXIMA)
@pytest.mark.parametrize("ceil", [False, True], ids=["floor", "ceil"])
def test_images_without_a_batch(spatial, ceil, tmp_path):
    def pools(x):
        return (
            MAXIMA[spatial](x, 3, 2, 1, ceil_mode=ceil),
            AVERAGES[spatial](x, 3, 2, 1, ceil_mode=ceil),
        )

    program = capture(Call(pools).eval(), (image(*(8, 7, 10)[:spatial])[0],))
    assert_agrees(program, tmp_path)


@st.composite
def windows(draw, *, dilated):
    """Draw the options of a pool for one or two axes."""
    spatial = draw(st.integers(1, 2))
    options = []
    for _ in range(spatial):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)) if dilated else 1
        stride, padding = draw(st.integers(1, 5)), draw(st.integers(0, kernel // 2))
        options.append((kernel, stride, padding, dilation))
    kernel, stride, padding, dilation = (list(each) for each in zip(*options, strict=True))
    named = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return {**named, "dilation": dilation} if dilated else named


def drawn(data, spatial):
    size = st.integers(12, 24)
    return [image(*[data.draw(size) for _ in range(spatial)], batch=b) for b in (2, 3, 2)]


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(st.data(), windows(dilated=True), st.booleans(), st.booleans())
def test_maxima(data, options, ceil, dynamic):
    spatial = len(options["stride"])
    images = drawn(data, spatial)
    with folder() as where:
        agrees(
            lambda x: MAXIMA[spatial](x, ceil_mode=ceil, **options),
            images,
            dynamic=dynamic,
            folder=where,
        )


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(
    st.data(),
    windows(dilated=False),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(1, 9),
)
def test_averages(data, options, ceil, dynamic, counted, divisor):
    spatial = len(options["stride"])
    images = drawn(data, spatial)
    named = {"ceil_mode": ceil, "count_include_pad": counted, **options}
    if spatial > 1:
        named["divisor_override"] = divisor
    with folder() as where:
        agrees(lambda x: AVERAGES[spatial](x, **named), images, dynamic=dynamic, folder=where)
