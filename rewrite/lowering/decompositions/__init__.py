"""Operators that ONNX lacks, written in those that it has.

Each is a function with the signature of the overload it stands for, right for every value and size
that the operator takes. The program keeps the operator; the exporter traces the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rewrite.lowering.decompositions.bessel import BESSEL
from rewrite.lowering.decompositions.comparisons import COMPARISONS
from rewrite.lowering.decompositions.distances import DISTANCES
from rewrite.lowering.decompositions.fourier import FOURIER
from rewrite.lowering.decompositions.linear_systems import LINEAR_SYSTEMS
from rewrite.lowering.decompositions.logarithms import LOGARITHMS
from rewrite.lowering.decompositions.losses import LOSSES
from rewrite.lowering.decompositions.polynomials import POLYNOMIALS
from rewrite.lowering.decompositions.projections import PROJECTIONS
from rewrite.lowering.decompositions.ranges import RANGES
from rewrite.lowering.decompositions.ranks import RANKS
from rewrite.lowering.decompositions.reductions import REDUCTIONS
from rewrite.lowering.decompositions.reflections import REFLECTIONS
from rewrite.lowering.decompositions.scans import SCANS
from rewrite.lowering.decompositions.scatters import SCATTERS
from rewrite.lowering.decompositions.signs import SIGNS
from rewrite.lowering.decompositions.special import SPECIAL
from rewrite.lowering.decompositions.volumes import VOLUMES

DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    **BESSEL,
    **COMPARISONS,
    **DISTANCES,
    **FOURIER,
    **LINEAR_SYSTEMS,
    **LOGARITHMS,
    **LOSSES,
    **POLYNOMIALS,
    **PROJECTIONS,
    **RANGES,
    **RANKS,
    **REDUCTIONS,
    **REFLECTIONS,
    **SCANS,
    **SCATTERS,
    **SIGNS,
    **SPECIAL,
    **VOLUMES,
}
