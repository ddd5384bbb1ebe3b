"""Translations of single operators to ONNX, one file per family."""

from __future__ import annotations

from rewrite_plugins.lowerings.conv_transpose import LOWERINGS as _CONV_TRANSPOSE
from rewrite_plugins.lowerings.mean import LOWERINGS as _MEAN
from rewrite_plugins.lowerings.normalization import LOWERINGS as _NORMALIZATION

LOWERINGS = (*_CONV_TRANSPOSE, *_MEAN, *_NORMALIZATION)
