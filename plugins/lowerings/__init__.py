"""Translations of single operators to ONNX, one file per family."""

from __future__ import annotations

from rewrite_plugins.lowerings.adaptive_pool import LOWERINGS as _ADAPTIVE_POOL
from rewrite_plugins.lowerings.antialias import LOWERINGS as _ANTIALIAS
from rewrite_plugins.lowerings.arg_extremes import LOWERINGS as _ARG_EXTREMES
from rewrite_plugins.lowerings.conv import LOWERINGS as _CONV
from rewrite_plugins.lowerings.conv_transpose import LOWERINGS as _CONV_TRANSPOSE
from rewrite_plugins.lowerings.divisions import LOWERINGS as _DIVISIONS
from rewrite_plugins.lowerings.grouped_matmul import LOWERINGS as _GROUPED_MATMUL
from rewrite_plugins.lowerings.masked_select import LOWERINGS as _MASKED_SELECT
from rewrite_plugins.lowerings.mean import LOWERINGS as _MEAN
from rewrite_plugins.lowerings.normalization import LOWERINGS as _NORMALIZATION
from rewrite_plugins.lowerings.pool import LOWERINGS as _POOL
from rewrite_plugins.lowerings.recurrent import LOWERINGS as _RECURRENT
from rewrite_plugins.lowerings.resize import LOWERINGS as _RESIZE
from rewrite_plugins.lowerings.roll import LOWERINGS as _ROLL
from rewrite_plugins.lowerings.sort import LOWERINGS as _SORT
from rewrite_plugins.lowerings.squeeze import LOWERINGS as _SQUEEZE
from rewrite_plugins.lowerings.vector_norm import LOWERINGS as _VECTOR_NORM

LOWERINGS = (
    *_ADAPTIVE_POOL,
    *_ANTIALIAS,
    *_ARG_EXTREMES,
    *_CONV,
    *_CONV_TRANSPOSE,
    *_DIVISIONS,
    *_GROUPED_MATMUL,
    *_MASKED_SELECT,
    *_MEAN,
    *_NORMALIZATION,
    *_POOL,
    *_RECURRENT,
    *_RESIZE,
    *_ROLL,
    *_SORT,
    *_SQUEEZE,
    *_VECTOR_NORM,
)
