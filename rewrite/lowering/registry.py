"""The exporter's translations, read once a process instead of once an export."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

from onnxscript.values import TracedOnnxFunction
from torch.onnx._internal.exporter._registration import ONNXRegistry

_read_from_torchlib = ONNXRegistry.from_torchlib


@contextlib.contextmanager
def kept_registry() -> Iterator[None]:
    """Let exports begin with a copy of one registry.

    torch.onnx.export parses some 500 functions each time it is called, which takes most of the
    time of lowering a small model. Translations of our own go into the copy alone.
    """
    with mock.patch.object(ONNXRegistry, "from_torchlib", staticmethod(_copy)):
        yield


@functools.cache
def _read(*options: Any) -> ONNXRegistry:
    # A traced function is asked for its domain alone, and parses its source to tell it.
    with mock.patch.object(TracedOnnxFunction, "function_ir", property(_domain_of)):
        return _read_from_torchlib(*options)


def _domain_of(function: TracedOnnxFunction) -> SimpleNamespace:
    return SimpleNamespace(domain=function.opset.domain)


def _copy(*options: Any, **named: Any) -> ONNXRegistry:
    kept = _read(*options, *named.values())
    fresh = ONNXRegistry()
    fresh.functions = {target: list(found) for target, found in kept.functions.items()}
    fresh._opset_version = kept._opset_version
    return fresh
