"""An example of a plugin for rewrite: one pass, one preset and one translation to ONNX."""

from __future__ import annotations

from collections.abc import Iterator

from rewrite import Lowering, Pass, Preset, hookimpl


@hookimpl
def rewrite_passes() -> Iterator[type[Pass]]:
    """Yield the pass of this plugin."""
    from rewrite_example_plugin.merge_factors import MergeFactors

    yield MergeFactors


@hookimpl
def rewrite_presets() -> Iterator[Preset]:
    """Yield a preset that orders the pass among those of others."""
    yield Preset(
        "example",
        passes=("merge-factors",),
        summary="One multiplication instead of many.",
    )


@hookimpl
def rewrite_lowerings() -> Iterator[Lowering]:
    """Yield the translation of hardswish to the ONNX operator of that name."""
    from rewrite_example_plugin.hardswish import HARDSWISH

    yield HARDSWISH
