"""Constants that lowering adds to a model of somebody else's names."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def constant(model: ir.Model, name: str, value: np.ndarray) -> ir.Value:
    """Return the initializer of a name if it is this value bit for bit, else a new one.

    Where the name is that of something else, the new one has a number behind it.
    """
    free, number = name, 0
    while (known := model.graph.initializers.get(free)) is not None:
        if _is(known, value):
            return known
        number += 1
        free = f"{name}_{number}"
    tensor = ir.tensor(value, name=free)
    made = ir.Value(
        name=free,
        shape=ir.Shape(value.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    model.graph.register_initializer(made)
    return made


def _is(known: ir.Value, value: np.ndarray) -> bool:
    tensor = known.const_value
    if tensor is None or tuple(tensor.shape) != value.shape:
        return False
    return tensor.numpy().dtype == value.dtype and tensor.tobytes() == value.tobytes()
