"""The tensors of a marked program that need a range: one mark stands for each group."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from rewrite.program import Program
from rewrite.quantization.kinds import is_weight
from rewrite.quantization.markers import OBSERVE
from rewrite.quantization.spec import QuantSpec
from rewrite.schema import arguments
from rewrite.target import Target


@dataclass(frozen=True)
class Owner:
    """The first mark of a group of activations that needs a range."""

    group: str
    spec: QuantSpec


def find_owners(program: Program, target: Target) -> dict[fx.Node, Owner]:
    """Return the first mark of each group of activations that needs a range."""
    owners: dict[fx.Node, Owner] = {}
    seen: set[str] = set()
    for node in program.graph.nodes:
        if node.target is not OBSERVE:
            continue
        bound = arguments(node)
        spec = target.spec(bound["spec"])
        if spec.per_channel and is_weight(bound["x"]):
            continue
        if not spec.is_fixed and bound["group"] not in seen:
            seen.add(bound["group"])
            owners[node] = Owner(bound["group"], spec)
    return owners
