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
from rewrite.lowering.decompositions import DECOMPOSITIONS
from rewrite.lowering.fourier_matrix import FOURIER_MATRIX
from rewrite.lowering.lift import Decomposable, lift, traced
from rewrite.lowering.markers import marker_translations
from rewrite.lowering.registry import kept_registry
from rewrite.lowering.symbolic_sizes import SYMBOLIC_SIZES
from rewrite.lowering.type_promotion import known_values
from rewrite.lowering.unique_names import unique_names
from rewrite.lowering.untranslated import explain
from rewrite.program import Program
from rewrite.provenance import source_line


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
    _require_real(tensors)
    table = {**marker_translations(opset), **SYMBOLIC_SIZES, **FOURIER_MATRIX, **translations}
    own = {op: made for op, made in DECOMPOSITIONS.items() if op not in table}
    exported: Decomposable | None = None
    try:
        with _quiet():
            onnx_program = _translate(lift(tensors, own), opset, table)
    except Exception:
        # What the exporter cannot translate as it is may be made of what it can.
        try:
            with _quiet():
                exported = traced(tensors, own)
                onnx_program = _translate(exported, opset, table)
        except Exception as error:
            used = exported.used if exported is not None else None
            raise explain(program, error, used or own) from error
    if onnx_program is None:
        raise CheckError("the ONNX exporter returned nothing")
    return onnx_program.model


def _translate(
    exported: torch.export.ExportedProgram, opset: int, table: dict[Any, Callable[..., Any]]
) -> torch.onnx.ONNXProgram | None:
    with torch.no_grad(), kept_registry(), known_values(), unique_names():
        return torch.onnx.export(
            exported,
            opset_version=opset,
            dynamo=True,
            optimize=False,
            verbose=False,
            custom_translation_table=table,
        )


def _require_real(program: Program) -> None:
    """Raise where an output is complex: ONNX has no such tensors, and pairs would be others."""
    for name, node in zip(program.signature.output_names, program.outputs(), strict=False):
        value = node.meta.get("val") if isinstance(node, fx.Node) else None
        if isinstance(value, torch.Tensor) and value.is_complex():
            raise CheckError(
                f"output '{name}' is of complex numbers, made by '{node.target}', "
                "and ONNX has none",
                where=source_line(node) or None,
                hint="return torch.view_as_real of it",
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
