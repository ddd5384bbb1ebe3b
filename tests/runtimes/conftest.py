from __future__ import annotations

import pytest

from rewrite.runtimes import KernelVerdict, get_runtime


@pytest.fixture
def verdicts(tmp_path):
    """Load a graph in a runtime, run it once, and return its verdicts by node name."""

    def load(graph, runtime: str = "onnxruntime", **dims: int) -> dict[str, KernelVerdict]:
        loaded = get_runtime(runtime).load(graph.save(tmp_path / "model.onnx"), threads=1)
        loaded.run(graph.feeds(**{"N": 2, "S": 5, **dims}))
        return {verdict.node: verdict for verdict in loaded.kernels()}

    return load
