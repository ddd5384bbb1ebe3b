"""What a program is, told by its content: its calls, and the bytes of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import fx
from torch.utils import _pytree as pytree

from rewrite.program import Program


@dataclass(frozen=True)
class Fingerprint:
    """The content of a program, independent of who changed it and how."""

    calls: str
    """Digest of every node: operator, arguments, and the graphs of branches."""
    weights: dict[str, str]
    """Digest of the bytes of every weight that is read, by name."""
    calling: str
    """Digest of how it is called: names and structure of inputs and outputs, and the example."""

    def changed_weights(self, later: Fingerprint) -> list[str]:
        """Return the weights that hold other bytes in a later fingerprint of the same program."""
        names = self.weights.keys() & later.weights.keys()
        return sorted(name for name in names if self.weights[name] != later.weights[name])


def fingerprints(*programs: Program) -> list[Fingerprint]:
    """Take the fingerprints of some programs; memory that they share is read once."""
    read: dict[tuple[object, ...], str] = {}
    return [
        Fingerprint(
            _calls(program),
            {name: _bytes(tensor, read) for name, tensor in program.used_weights()},
            _calling(program, read),
        )
        for program in programs
    ]


def _calls(program: Program) -> str:
    digest = hashlib.sha256()
    for line in _lines(program.module, program.graph.nodes):
        digest.update(line.encode())
    return digest.hexdigest()


def _calling(program: Program, read: dict[tuple[object, ...], str]) -> str:
    digest = hashlib.sha256(repr(program.signature).encode())
    for value in pytree.tree_leaves(program.example):
        text = _bytes(value, read) if isinstance(value, torch.Tensor) else repr(value)
        digest.update(text.encode())
    return digest.hexdigest()


def _lines(module: fx.GraphModule, nodes: Iterable[fx.Node]) -> Iterable[str]:
    for node in nodes:
        yield f"{node.op} {node.name} {node.target} {node.args} {node.kwargs}\n"
        if node.op != "get_attr":
            continue
        owner = module.get_submodule(str(node.target).rpartition(".")[0])
        inner = getattr(owner, str(node.target).rpartition(".")[2])
        if isinstance(inner, fx.GraphModule):
            yield from _lines(inner, inner.graph.nodes)


def _bytes(tensor: torch.Tensor, read: dict[tuple[object, ...], str]) -> str:
    """Digest a weight; what is a view of memory that was read before is looked up."""
    place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
    if tensor.numel() == 0:
        return str(place[1:])
    if place not in read:
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest = hashlib.sha256(data.numpy().data)
        read[place] = f"{digest.hexdigest()} {tensor.dtype} {tuple(tensor.shape)}"
    return read[place]
