"""Translations of single operators to ONNX, one file per family."""

from __future__ import annotations

from rewrite_plugins.lowerings.conv_transpose import LOWERINGS as _CONV_TRANSPOSE
from rewrite_plugins.lowerings.grouped_matmul import LOWERINGS as _GROUPED_MATMUL
from rewrite_plugins.lowerings.mean import LOWERINGS as _MEAN
from rewrite_plugins.lowerings.normalization import LOWERINGS as _NORMALIZATION
from rewrite_plugins.lowerings.recurrent import LOWERINGS as _RECURRENT
from rewrite_plugins.lowerings.sort import LOWERINGS as _SORT

LOWERINGS = (*_CONV_TRANSPOSE, *_GROUPED_MATMUL, *_MEAN, *_NORMALIZATION, *_RECURRENT, *_SORT)
