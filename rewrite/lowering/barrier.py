"""A node that changes nothing and that no runtime moves a quantizer past."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant


def same(model: ir.Model, value: ir.Value, name: str) -> ir.Node:
    """Return max(value, lowest), not in the graph yet: it is the value, and nothing merges it.

    Only -∞ becomes the lowest number, which no quantizer behind it tells apart.
    """
    node = ir.node("Max", [value, constant(model, "lowest", np.array(np.finfo(np.float32).min))])
    node.name, made = name, node.outputs[0]
    made.name, made.type, made.shape = f"{name}_out", value.type, value.shape
    return node
