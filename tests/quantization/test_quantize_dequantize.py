import torch

from rewrite.quantization.markers import DEQUANTIZE, QUANTIZE, QUANTIZE_DEQUANTIZE

SCALE = torch.tensor(0.1)
ZERO_POINT = torch.tensor(3, dtype=torch.uint8)


def test_it_is_the_pair():
    x = torch.linspace(-3, 40, 1001)
    pair = DEQUANTIZE(QUANTIZE(x, SCALE, ZERO_POINT, 0, 255), SCALE, ZERO_POINT)
    assert torch.equal(QUANTIZE_DEQUANTIZE(x, SCALE, ZERO_POINT, 0, 255), pair)


def test_the_gradient_passes_inside_the_range_and_stops_outside():
    x = torch.tensor([-5.0, -0.3, 0.0, 1.23, 25.1, 25.3, 99.0], requires_grad=True)
    QUANTIZE_DEQUANTIZE(x, SCALE, ZERO_POINT, 0, 255).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 0, 0]
