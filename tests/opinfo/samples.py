"""Samples of PyTorch's own operator database as models with tensors for inputs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import BinaryUfuncInfo, OpInfo, UnaryUfuncInfo
from torch.utils import _pytree as pytree

DRAWS = 3
"""Sets of values for the same shapes: the example's and others."""
_MOST_READ = 48
"""Samples of an entry that are looked at; some entries have thousands."""
_EDGES = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.0, 3.0, 50.0, -50.0, 200.0, -200.0])
"""Values where formulas break that are right in between."""


class Applied(nn.Module):
    """An operator with everything but its tensors filled in."""

    def __init__(self, function: Any, leaves: list[Any], spec: pytree.TreeSpec) -> None:
        super().__init__()
        self.function, self.spec = function, spec
        self.leaves = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]

    def forward(self, *tensors: Tensor) -> Any:
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        first, args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return self.function(first, *args, **kwargs)


@dataclass(frozen=True)
class Sample:
    """A model of one operator, and draws of its inputs; the first is the example."""

    number: int
    model: nn.Module
    draws: list[tuple[Tensor, ...]]


def entries() -> list[OpInfo]:
    """Return the entries of the database that take float32, in its order."""
    return [entry for entry in op_db if torch.float32 in entry.dtypes]


def samples(entry: OpInfo, count: int) -> list[Sample]:
    """Return `count` samples of an entry, spread over all that have tensors with elements."""
    drawn = [_drawn(entry, seed) for seed in range(DRAWS)]
    usable = [i for i, (leaves, _) in enumerate(drawn[0]) if _has_elements(leaves)]
    step = max(1, -(-len(usable) // count))
    return [_sample(entry, drawn, i) for i in usable[::step][:count]]


def _drawn(entry: OpInfo, seed: int) -> list[tuple[list[Any], pytree.TreeSpec]]:
    torch.manual_seed(seed)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # By default each sample is seeded alike, whatever the seed.
        drawn = entry.sample_inputs("cpu", torch.float32, requires_grad=False, set_seed=False)
        for sample in drawn:
            found.append(pytree.tree_flatten((sample.input, sample.args, sample.kwargs)))
            if len(found) == _MOST_READ:
                break
    return found


def _sample(entry: OpInfo, drawn: list[Any], number: int) -> Sample:
    leaves, spec = drawn[0][number]
    draws = [_tensors(leaves)]
    for other in drawn[1:]:
        if number < len(other) and _alike(drawn[0][number], other[number]):
            draws.append(_tensors(other[number][0]))
    if isinstance(entry, (UnaryUfuncInfo, BinaryUfuncInfo)):
        draws.append(tuple(_edged(tensor, i) for i, tensor in enumerate(draws[0])))
    return Sample(number, Applied(entry.op, leaves, spec).eval(), draws)


def _has_elements(leaves: list[Any]) -> bool:
    tensors = _tensors(leaves)
    plain = all(tensor.layout == torch.strided and tensor.numel() for tensor in tensors)
    return bool(tensors) and plain


def _tensors(leaves: list[Any]) -> tuple[Tensor, ...]:
    return tuple(leaf.detach() for leaf in leaves if isinstance(leaf, Tensor))


def _alike(left: Any, right: Any) -> bool:
    """Tell whether two draws differ in the values of their tensors alone."""
    if left[1] != right[1]:
        return False
    for one, other in zip(left[0], right[0], strict=True):
        if isinstance(one, Tensor):
            if (
                not isinstance(other, Tensor)
                or one.shape != other.shape
                or one.dtype != other.dtype
            ):
                return False
        elif repr(one) != repr(other):
            return False
    return True


def _edged(tensor: Tensor, place: int) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    generator = torch.Generator().manual_seed(place)
    chosen = torch.randint(len(_EDGES), tensor.shape, generator=generator)
    return _EDGES[chosen].to(tensor.dtype)
