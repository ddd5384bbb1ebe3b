"""What the processor here can do, as far as runtimes compute otherwise without it."""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rewrite.runtimes import Array, RuntimeFailure

_CPU_INFO = Path("/proc/cpuinfo")
_WIDE_SUMS = ("avx512_vnni", "avx_vnni", "amx_int8", "avx_vnni_int8")

_SAME = (1e-4, 1e-6)
"""Relative and absolute: what differs by more was saturated somewhere."""


@functools.cache
def saturates() -> bool:
    """Tell whether this processor adds products of uint8 and int8 in 16 bits, and saturates.

    x86-64 does without VNNI or AMX: vpmaddubsw. Where nobody knows, it is taken not to.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or not _CPU_INFO.is_file():
        return False
    lines = _CPU_INFO.read_text(errors="replace").splitlines()
    flags = next((line for line in lines if line.startswith("flags")), None)
    return flags is not None and not set(flags.split()) & set(_WIDE_SUMS)


def differ(usual: Mapping[str, Array], exact: Mapping[str, Array]) -> bool:
    """Tell whether what a runtime usually computes here is something else than the exact.

    Raises:
        RuntimeFailure: when an output has another shape; saturation does not make these.
    """
    for name, value in usual.items():
        if value.shape != exact[name].shape:
            raise RuntimeFailure(
                f"with its int8 kernels, output '{name}' has the shape {value.shape}, and not "
                f"{exact[name].shape}",
                "a fault of the runtime: leave layers in front of it float (rewrite inspect)",
            )
    pairs = [(value, exact[name]) for name, value in usual.items()]
    return not all(np.allclose(a, b, *_SAME, equal_nan=True) for a, b in pairs)


def least_db(exact: Mapping[str, Array], usual: Mapping[str, Array]) -> float:
    """Return the SQNR of the output that differs most, in dB."""
    found = math.inf
    for name, value in exact.items():
        wanted, noise = value.astype(np.float64), value.astype(np.float64) - usual[name]
        signal, error = float((wanted**2).sum()), float((noise**2).sum())
        if signal > 0 and error > 0:
            found = min(found, 10 * math.log10(signal / error))
    return found
