"""Translations of single operators to ONNX, one file per family."""

from __future__ import annotations

from rewrite_plugins.lowerings.mean import LOWERINGS as _MEAN

LOWERINGS = (*_MEAN,)
