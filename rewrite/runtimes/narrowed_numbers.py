"""Numbers of 64 bits where a runtime computes with 32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from rewrite.runtimes import Array

_MOST = np.iinfo(np.int32)


def narrowed_numbers(graph: ir.Graph, feeds: Mapping[str, Array]) -> str:
    """Say which numbers of a file need 64 bits, for a runtime that has 32; '' for none.

    Integers are known by the inputs alone: most of 64 bits are places, which are small.

    Args:
        graph: of the file, subgraphs left out.
        feeds: inputs by name.
    """
    doubles = any(value.dtype is ir.DataType.DOUBLE for node in graph for value in node.outputs)
    large = [
        name
        for name, value in feeds.items()
        if value.dtype == np.int64 and value.size and not _fits(value)
    ]
    told = ["float64 is computed as float32, from 3.4e38 on as infinite"] if doubles else []
    told += [f"input '{name}' holds integers that 32 bits do not" for name in large]
    return ", and ".join(told)


def _fits(value: Array) -> bool:
    return bool(value.min() >= _MOST.min and value.max() <= _MOST.max)
