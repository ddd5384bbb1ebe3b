"""Quantized inputs, and what is asserted of a kernel's verdict."""

from __future__ import annotations

from .graphs import Graph


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
