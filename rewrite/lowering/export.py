"""Translation of a program into an ONNX model held in memory."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import onnx_ir as ir
import torch
from torch import fx

from rewrite.errors import CheckError
from rewrite.lowering.lift import lift
from rewrite.lowering.markers import marker_translations
from rewrite.program import Program
from rewrite.re_export import re_export


def export_onnx(
    program: Program, opset: int, translations: dict[Any, Callable[..., Any]]
) -> ir.Model:
    """Translate a program to ONNX.

    Args:
        program: canonical or legalized for a target.
        opset: of the default domain, 18 or higher.
        translations: ONNX translations by operator overload, over the exporter's own.

    Raises:
        CheckError: when an operator has no ONNX translation, naming the operator and the line.
    """
    tensors = _tensors_only(program)
    table = {**marker_translations(opset), **translations}
    try:
        with _quiet():
            onnx_program = _translate(lift(tensors), opset, table)
    except Exception:
        # What the exporter cannot translate as it is may be made of what it can.
        try:
            with _quiet():
                onnx_program = _translate(re_export(tensors, flat=True), opset, table)
        except Exception as error:
            raise _explain(program, error) from error
    if onnx_program is None:
        raise CheckError("the ONNX exporter returned nothing")
    return onnx_program.model


def _translate(
    exported: torch.export.ExportedProgram, opset: int, table: dict[Any, Callable[..., Any]]
) -> torch.onnx.ONNXProgram | None:
    with torch.no_grad():
        return torch.onnx.export(
            exported,
            opset_version=opset,
            dynamo=True,
            optimize=False,
            verbose=False,
            custom_translation_table=table,
        )


def _tensors_only(program: Program) -> Program:
    """Leave out the outputs that are no tensors: the exporter takes none."""
    if all(isinstance(value, fx.Node) for value in program.outputs()):
        return program
    twin = program.clone()
    tensors = [value for value in twin.outputs() if isinstance(value, fx.Node)]
    twin.graph.output_node().args = (tensors,)
    twin.touch()
    return twin


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines off the terminal."""
    names = ("torch.onnx", "torch.export", "torch._export", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(n) for n in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _explain(program: Program, error: Exception) -> CheckError:
    from rewrite.provenance import source_line

    text = str(error)
    for node in program.graph.nodes:
        if node.op == "call_function" and f"%{node.name} " in text:
            return CheckError(
                f"no ONNX translation for '{node.target}': {_cause(error)}",
                where=source_line(node) or None,
                hint="add one with the hook rewrite_lowerings, or write the model without it",
            )
    return CheckError(f"the ONNX exporter failed: {_cause(error)}")


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
