"""The built-in plugin: passes, presets, targets and calibrators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources

from rewrite import Calibrator, Fault, Lowering, Pass, Preset, Target, hookimpl
from rewrite.faults import parse_faults

_KNOWN_BAD = "known_bad.toml"


@hookimpl
def rewrite_passes() -> Iterator[type[Pass]]:
    """Yield the built-in passes."""
    from rewrite_plugins.calibrate import Calibrate
    from rewrite_plugins.complete_node_units import CompleteNodeUnits
    from rewrite_plugins.convolve_batch_norm import ConvolveBatchNorm
    from rewrite_plugins.convolve_transposed import ConvolveTransposed
    from rewrite_plugins.correct_bias import CorrectBias
    from rewrite_plugins.expand_attention import ExpandAttention
    from rewrite_plugins.flatten_maps import FlattenMaps
    from rewrite_plugins.flatten_tokens import FlattenTokens
    from rewrite_plugins.fold_batch_norm import FoldBatchNorm
    from rewrite_plugins.fold_scales import FoldScales
    from rewrite_plugins.halve_floats import HalveFloats
    from rewrite_plugins.hoist_activations import HoistActivations
    from rewrite_plugins.insert_quantizers import InsertQuantizers
    from rewrite_plugins.lay_out_linear import LayOutLinear
    from rewrite_plugins.limit_masks import LimitMasks
    from rewrite_plugins.merge_equal_scales import MergeEqualScales
    from rewrite_plugins.quantize_weights import QuantizeWeights
    from rewrite_plugins.remove_dead_code import RemoveDeadCode
    from rewrite_plugins.space_to_depth import SpaceToDepth
    from rewrite_plugins.split_activations import SplitActivations
    from rewrite_plugins.split_composites import SplitComposites

    yield from (
        FoldBatchNorm,
        RemoveDeadCode,
        ExpandAttention,
        LimitMasks,
        FoldScales,
        ConvolveTransposed,
        HoistActivations,
        ConvolveBatchNorm,
        SplitActivations,
        SplitComposites,
        QuantizeWeights,
        InsertQuantizers,
        CorrectBias,
        Calibrate,
        HalveFloats,
        LayOutLinear,
        FlattenMaps,
        FlattenTokens,
        SpaceToDepth,
        MergeEqualScales,
        CompleteNodeUnits,
    )


@hookimpl
def rewrite_presets() -> Iterator[Preset]:
    """Yield the built-in presets."""
    from rewrite_plugins.presets import (
        ACADEMIC,
        FLOAT,
        FLOAT16,
        INT4_WEIGHTS,
        INT8,
        INT8_FLOAT16,
    )

    yield from (FLOAT, FLOAT16, INT8, INT8_FLOAT16, INT4_WEIGHTS, ACADEMIC)


@hookimpl
def rewrite_targets() -> Iterator[Target]:
    """Yield every TOML file of the targets folder."""
    folder = resources.files("rewrite_plugins") / "targets"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml") and file.name != _KNOWN_BAD:
            yield Target.parse(file.read_text(encoding="utf-8"), file.name)


@hookimpl
def rewrite_faults() -> Iterable[Fault]:
    """Yield the known bad combinations."""
    file = resources.files("rewrite_plugins") / "targets" / _KNOWN_BAD
    yield from parse_faults(file.read_text(encoding="utf-8"), file.name)


@hookimpl
def rewrite_calibrators() -> Iterator[type[Calibrator]]:
    """Yield the built-in calibrators."""
    from rewrite_plugins.calibrators.auto import Auto
    from rewrite_plugins.calibrators.entropy import Entropy
    from rewrite_plugins.calibrators.min_max import MinMax
    from rewrite_plugins.calibrators.moving_average import MovingAverage
    from rewrite_plugins.calibrators.mse import MeanSquaredError
    from rewrite_plugins.calibrators.percentile import Percentile

    yield from (MinMax, MovingAverage, Percentile, Entropy, MeanSquaredError, Auto)


@hookimpl
def rewrite_lowerings() -> Iterable[Lowering]:
    """Yield the built-in translations of single operators."""
    from rewrite_plugins.lowerings import LOWERINGS

    yield from LOWERINGS
