"""The exporter's translations, read once a process instead of once an export.

torch.onnx.export parses some 500 functions each time, which takes four fifths of the compile of a
single operator.
"""

from __future__ import annotations

import functools
from typing import Any

from torch.onnx._internal.exporter._registration import ONNXRegistry


def keep_registry() -> None:
    """Let every export of this process begin with a copy of one registry."""
    read = ONNXRegistry.from_torchlib
    if getattr(read, "kept", False):
        return
    kept = functools.cache(lambda: read())

    def copy(*_: Any, **__: Any) -> ONNXRegistry:
        fresh = ONNXRegistry()
        fresh.functions = {target: list(found) for target, found in kept().functions.items()}
        fresh._opset_version = kept()._opset_version
        return fresh

    copy.kept = True
    ONNXRegistry.from_torchlib = copy
