"""Quantized inputs, and what is asserted of a kernel's verdict."""

from __future__ import annotations

import pytest

from rewrite.runtimes.processor import saturates

from .graphs import Graph

needs_vnni = pytest.mark.skipif(
    saturates(), reason="without VNNI OpenVINO has other int8 kernels, and these saturate"
)
"""What is said of OpenVINO's int8 kernels was found out on processors that have it."""


def image(opset: int = 17, **qdq) -> tuple[Graph, str]:
    graph = Graph(opset)
    return graph, graph.qdq(graph.input("x", ["N", 4, 8, 8]), **qdq)


def rows(shape=("N", 16), opset: int = 17, **qdq) -> tuple[Graph, str]:
    graph = Graph(opset)
    return graph, graph.qdq(graph.input("x", list(shape)), **qdq)


def check(verdict, kernel: str | None = None, reason: str | None = None) -> None:
    """Assert that it fired with this kernel, or did not for this reason."""
    assert verdict.eligible
    assert verdict.fired is (reason is None), verdict
    if kernel is not None:
        assert verdict.kernel == kernel
    assert (reason or "") in verdict.reason
    assert bool(verdict.reason) is not verdict.fired
