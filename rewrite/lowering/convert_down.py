"""Opsets below the one that the exporter writes."""

from __future__ import annotations

import logging

import onnx_ir as ir
from onnxscript import version_converter

from rewrite.errors import CheckError

FIRST_WRITTEN = 18
"""The exporter's translations are of this opset or later ones."""


def convert_down(model: ir.Model, opset: int) -> None:
    """Convert a tidy model to an older opset, in place.

    Axes that an operator took as attributes must be initializers by now: that is all the converter
    reads.

    Raises:
        CheckError: when an operator has no older form.
    """
    if opset >= FIRST_WRITTEN:
        return
    for node in model.graph:
        if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum":
            # Of opset 18; the exporter writes its default, which the older form has built in.
            node.attributes.pop("noop_with_empty_axes", None)
    logger = logging.getLogger("onnxscript.version_converter")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        version_converter.convert_version(model, opset, fallback=True)
    finally:
        logger.setLevel(level)
    written = model.opset_imports[""]
    if written != opset:
        raise CheckError(
            f"the model uses operators that opset {opset} does not have", hint=f"--opset {written}"
        )
