import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.lowering.export import export_onnx
from rewrite.plugin_host import PluginHost

IDS = torch.arange(12).reshape(3, 4)
IMAGE = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
FLOAT32_ROUNDING = 1e-6
CASES = {
    "integers": (IDS, lambda x: x.mean(1, dtype=torch.float32), "ReduceMean"),
    "widened": (IMAGE, lambda x: x.mean((2, 3), dtype=torch.float64), "ReduceMean"),
    "double": (IMAGE.double(), lambda x: x.mean((2, 3)), "ReduceMean"),
    "space": (IMAGE, lambda x: x.mean((-1, -2)), "GlobalAveragePool"),
    "space kept": (IMAGE, lambda x: x.mean((2, 3), keepdim=True), "GlobalAveragePool"),
    "channels": (IMAGE, lambda x: x.mean(1), "ReduceMean"),
}


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("case", CASES)
def test_a_mean_is_the_same_number_of_the_same_type(case, tmp_path):
    x, function, op = CASES[case]
    translations = {entry.overload: entry.translate for entry in PluginHost().lowerings()}
    model = export_onnx(capture(Call(function).eval(), (x,)), 20, translations)
    assert op in {node.op_type for node in model.graph}
    ir.save(model, tmp_path / "mean.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "mean.onnx"))
    name = session.get_inputs()[0].name
    result, expected = session.run(None, {name: x.numpy()})[0], function(x).numpy()
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=FLOAT32_ROUNDING, atol=FLOAT32_ROUNDING)
