"""The hooks a plugin may implement. Every hook yields descriptors; none receives a registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from rewrite.descriptors import Calibrator, Lowering, Model, PassObserver, Preset
    from rewrite.faults import Fault
    from rewrite.passes import Pass
    from rewrite.target import Target

PROJECT = "rewrite"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def rewrite_passes() -> Iterable[type[Pass]]:
    """Yield pass classes.

    Example:
        from rewrite import Outcome, Pass, hookimpl

        class CountNodes(Pass):
            '''Count the nodes of the program.'''

            name = "count-nodes"
            equivalence = "exact"

            def run(self, program, context):
                return Outcome(notes=[f"{len(program.graph.nodes)} nodes"])

        @hookimpl
        def rewrite_passes():
            yield CountNodes
    """
    raise NotImplementedError


@hookspec
def rewrite_presets() -> Iterable[Preset]:
    """Yield presets: named sets of passes that the pipeline orders.

    Example:
        from rewrite import Preset, hookimpl

        @hookimpl
        def rewrite_presets():
            yield Preset("tidy", passes=("remove-dead-code",), summary="Only what is dead goes.")
    """
    raise NotImplementedError


@hookspec
def rewrite_models() -> Iterable[Model]:
    """Yield zoo models, reachable as `zoo:NAME`.

    Example:
        import torch
        from rewrite import Model, hookimpl

        @hookimpl
        def rewrite_models():
            yield Model(
                "two-layers",
                summary="Two linear layers with random weights.",
                model=lambda: torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2)),
                inputs=lambda: (torch.randn(3, 4),),
            )
    """
    raise NotImplementedError


@hookspec
def rewrite_targets() -> Iterable[Target]:
    r"""Yield deployment targets, usually read from a TOML file beside the plugin.

    Example:
        from rewrite import Target, hookimpl

        @hookimpl
        def rewrite_targets():
            yield Target.parse('name = "plain"\nsummary = "Float only."\nopset = 20')
    """
    raise NotImplementedError


@hookspec
def rewrite_faults() -> Iterable[Fault]:
    """Yield known bad combinations of a runtime's version, an opset and a type.

    Example:
        from rewrite import Fault, hookimpl

        @hookimpl
        def rewrite_faults():
            yield Fault(
                "slow-opset",
                runtime="onnxruntime",
                versions=">=9,<9.2",
                opset=(21, 21),
                symptom="takes minutes to load opset 21",
                does="writes an older opset",
            )
    """
    raise NotImplementedError


@hookspec
def rewrite_lowerings() -> Iterable[Lowering]:
    """Yield translations of single operators to ONNX.

    Example:
        import torch
        from onnxscript import opset20 as op
        from rewrite import Lowering, hookimpl

        def silu(self):
            return op.Mul(self, op.Sigmoid(self))

        @hookimpl
        def rewrite_lowerings():
            yield Lowering(torch.ops.aten.silu.default, silu)
    """
    raise NotImplementedError


@hookspec
def rewrite_calibrators() -> Iterable[type[Calibrator]]:
    """Yield calibrators: streaming estimators of an activation's range.

    Example:
        from rewrite import Calibrator, hookimpl

        class LastBatch(Calibrator):
            name = "last-batch"

            def observe(self, values):
                self.range = (values.min().item(), values.max().item())

            def bounds(self):
                return self.range

        @hookimpl
        def rewrite_calibrators():
            yield LastBatch
    """
    raise NotImplementedError


@hookspec
def rewrite_observers() -> Iterable[PassObserver]:
    """Yield observers that are told before and after every pass.

    Example:
        from rewrite import PassObserver, hookimpl

        class Printer(PassObserver):
            name = "printer"

            def after_pass(self, pass_, program, outcome):
                print(pass_.name, outcome.rewrites)

        @hookimpl
        def rewrite_observers():
            yield Printer()
    """
    raise NotImplementedError


def hook_names() -> list[str]:
    """Return the names of all hooks, in the order of this file."""
    return [name for name in globals() if name.startswith("rewrite_")]
