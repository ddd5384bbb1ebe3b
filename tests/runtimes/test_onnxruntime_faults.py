"""What ONNX Runtime gets wrong, and the forms that files are written in instead."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from .graphs import Graph

LEVELS = onnxruntime.GraphOptimizationLevel


@pytest.mark.parametrize(
    ("chain", "barrier", "rounded"),
    [(["Transpose"], False, True), (["Transpose"], True, False), ([], False, False)],
)
def test_output_behind_a_transpose(chain, barrier, rounded, tmp_path):
    """A quantizer that is moved in front of a Transpose rounds what leaves the model, too."""
    g = Graph(20)
    y = first = g.op("Tanh", g.input("x", [2, 16, 16]))
    y = g.op("Max", y, g.const("lowest", np.float32(-3e38))) if barrier else y
    for kind in chain:
        y = g.op(kind, y, perm=[0, 2, 1])
    g.output(first, g.op("MatMul", g.qdq(y, scale=0.02), g.weight("w", [16, 8], axis=1)))
    path, feeds = str(g.save(tmp_path / "m.onnx")), g.feeds()
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = LEVELS.ORT_DISABLE_ALL
    sessions = (onnxruntime.InferenceSession(path, plain), onnxruntime.InferenceSession(path))
    right, found = (session.run(None, feeds)[0] for session in sessions)
    assert bool(np.abs(right - found).max() > 1e-3) is rounded
