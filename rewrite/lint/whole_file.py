"""What concerns the file as a whole: its opset and the sizes of its inputs."""

from __future__ import annotations

from collections.abc import Iterator

from rewrite.lint.file import File
from rewrite.lint.rule import Finding, Rule


def _opset(file: File) -> Iterator[Finding]:
    low, high = file.target.opset_range
    if not low <= file.opset <= high:
        yield None, f"is of opset {file.opset}: write {low} to {high}"


def _static(file: File) -> Iterator[Finding]:
    for value in file.model.graph.inputs:
        sizes = list(value.shape) if value.shape is not None else [None]
        if not all(isinstance(size, int) for size in sizes):
            yield None, f"has input '{value.name}' of dynamic size: compile with --static, or --fix"


RULES = (
    Rule(
        "opset",
        "The opset is one that the target takes.",
        "the target's opset-range",
        _opset,
    ),
    Rule(
        "static-shapes",
        "The sizes of all inputs are fixed.",
        "ONNX Runtime documentation, QNN execution provider",
        _static,
    ),
)
