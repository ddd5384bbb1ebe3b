"""The bits that a call has are read off its quantizers."""

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.calibrators.min_max import MinMax
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn

from rewrite import Target, capture, is_call
from rewrite.passes import Context
from rewrite.pipeline import run_passes
from rewrite.quantization.found_precision import found_precision
from rewrite.quantization.precision import Precision

TARGET = """
name = "whole-range"
summary = "weights reach to the lowest integer"
opset = 20
bias = "float32"
[spec.activation]
dtype = "uint8"
[spec.weight]
dtype = "int8"
range = [{low}, {high}]
per-channel = true
[op.linear]
inputs = {{ input = "activation", weight = "weight" }}
"""


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("lowest", [True, False])
def test_the_lowest_integer_takes_no_bit_more(bits, lowest):
    half = 2 ** (bits - 1)
    low = -half if lowest else 1 - half
    target = Target.parse(TARGET.format(low=low, high=half - 1), "test")
    torch.manual_seed(0)
    layer = nn.Linear(4, 2).eval()
    program = capture(layer, (torch.rand(3, 4),))
    passes = [InsertQuantizers(), Calibrate()]
    quantized = run_passes(
        program, passes, Context(target=target, calibrators={"min-max": MinMax})
    ).program
    (call,) = (n for n in quantized.graph.nodes if is_call(n, torch.ops.aten.linear.default))
    assert int(quantized.weight("weight_int8").min()) == low
    assert found_precision(call, quantized) == Precision(bits, 8)
