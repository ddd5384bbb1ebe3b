"""The captured program: a functional ATen graph, its weights and its calling convention."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx._lazy_graph_module import _LazyGraphModule
from torch.utils import _pytree as pytree

_VERSIONS = itertools.count(1)


@dataclass(frozen=True)
class DynamicDim:
    """One dimension whose size is known only at run time."""

    name: str
    low: int
    high: int | None
    root: DynamicDim | None = None
    """The dimension that this one follows: size = scale · size of the root + offset."""
    scale: int = 1
    offset: int = 0


@dataclass(frozen=True)
class Signature:
    """How the program is called: the pytree structure and the names of its flat parts."""

    in_spec: pytree.TreeSpec
    out_spec: pytree.TreeSpec
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    dynamic: dict[str, dict[int, DynamicDim]] = field(default_factory=dict)
    """Dynamic dimensions by input name and dimension index."""

    def flatten_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Flatten call arguments in the order of `input_names`.

        Raises:
            ValueError: if the structure differs from the one the program was captured with.
        """
        ordered = {k: kwargs[k] for k in self._keyword_names() if k in kwargs}
        ordered.update({k: v for k, v in kwargs.items() if k not in ordered})
        leaves, spec = pytree.tree_flatten((tuple(args), ordered))
        if spec != self.in_spec:
            raise ValueError(f"given {_inputs(spec)}, wanted {_inputs(self.in_spec)}")
        return list(leaves)

    def unflatten_outputs(self, leaves: list[Any]) -> Any:
        """Rebuild what the model returns from its flat outputs."""
        return pytree.tree_unflatten(leaves, self.out_spec)

    def _keyword_names(self) -> list[str]:
        return list(self.in_spec.children()[1].context or [])


def _inputs(spec: pytree.TreeSpec) -> str:
    """Say in words how a model is called."""
    args, kwargs = spec.children()
    names = list(kwargs.context or [])
    parts = []
    if args.num_children:
        parts.append(f"{args.num_children} positional input{'s'[: args.num_children > 1]}")
    if names:
        parts.append(f"the keyword input{'s'[: len(names) > 1]} {', '.join(map(repr, names))}")
    nested = args.num_leaves + kwargs.num_leaves - args.num_children - len(names)
    text = " and ".join(parts) or "no inputs"
    return f"{text} ({spec.num_leaves} tensors or values in all)" if nested else text


class Program:
    """A graph of ATen calls with named weights. Edited only through an Emitter."""

    def __init__(
        self,
        module: fx.GraphModule,
        signature: Signature,
        example: tuple[tuple[Any, ...], dict[str, Any]],
        fake_mode: FakeTensorMode,
    ) -> None:
        self.module = module
        self.signature = signature
        self.example = example
        """Example (args, kwargs) the program was captured with."""
        self.fake_mode = fake_mode
        self.version = next(_VERSIONS)
        """New after every edit and shared by copies, so it stands for the content."""
        self.ledger: list[dict[str, Any]] = []
        self.made_weights: dict[tuple[Any, ...], str] = {}
        """Names of the weights that rewriting made, by (source, recipe)."""
        self._unrounded: dict[str, torch.Tensor] = {}
        self._compiled_version = -1

    @property
    def graph(self) -> fx.Graph:
        """The graph, for reading."""
        return self.module.graph

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program as the captured model is called."""
        self.compile()
        with torch.no_grad():
            return self.module(*args, **kwargs)

    def touch(self) -> None:
        """Note that the graph was edited."""
        self.version = next(_VERSIONS)

    def compile(self) -> None:
        """Bring the generated code up to date with the graph."""
        if self._compiled_version != self.version:
            self.module.recompile()
            self._compiled_version = self.version

    def weight(self, name: str) -> torch.Tensor:
        """Return a weight by its dotted name."""
        value = self.attribute(name)
        if not isinstance(value, torch.Tensor):
            raise KeyError(f"{name} is not a weight")
        return value

    def attribute(self, name: str) -> Any:
        """Return what a `get_attr` node reads: a weight, or the module of a subgraph."""
        owner: Any = self.module
        for part in name.split("."):
            owner = getattr(owner, part)
        return owner

    def precise_weight(self, name: str) -> torch.Tensor:
        """Return a floating weight in float64 as it was before rounding; others as they are."""
        value = self.unrounded_weight(name)
        return value.double() if value.is_floating_point() else value

    def unrounded_weight(self, name: str) -> torch.Tensor:
        """Return a weight as it was before rounding, in float64, or as it is if it was not."""
        return self._unrounded.get(name, self.weight(name)).detach()

    def forget_unrounded(self) -> None:
        """Free the float64 originals of rewritten weights, once no exact check will follow."""
        self._unrounded.clear()

    def add_weight(self, base: str, value: torch.Tensor, dtype: torch.dtype | None = None) -> str:
        """Store a new weight under `base` or the first free `base_N`; return the name.

        Args:
            base: dotted name wanted.
            value: its value; float64 is rounded to `dtype` and kept unrounded beside.
            dtype: dtype of the stored weight when `value` is float64.
        """
        original = value.detach()
        if original.dtype == torch.float64 and dtype is not None and dtype.is_floating_point:
            value = original.to(dtype)
        *folders, leaf = base.split(".")
        owner: nn.Module = self.module
        for folder in folders:
            child = getattr(owner, folder, None)
            if not isinstance(child, nn.Module):
                child = nn.Module()
                owner.add_module(folder, child)
            owner = child
        name, number = leaf, 0
        while hasattr(owner, name):
            number += 1
            name = f"{leaf}_{number}"
        owner.register_buffer(name, value.detach())
        full = ".".join([*folders, name])
        if value.dtype != original.dtype and not torch.equal(value.double(), original):
            self._unrounded[full] = original
        return full

    def used_weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield (name, tensor) of every weight the graph reads, once."""
        seen: set[str] = set()
        for node in self.graph.nodes:
            if node.op == "get_attr" and node.target not in seen:
                seen.add(node.target)
                value = self.attribute(node.target)
                if isinstance(value, torch.Tensor):
                    yield node.target, value

    def inputs(self) -> list[fx.Node]:
        """Return the placeholder nodes in order."""
        return [n for n in self.graph.nodes if n.op == "placeholder"]

    def fixed_sizes(self) -> list[str]:
        """Return the dynamic dimensions that have one size alone by now, by name.

        Whatever evaluates a shape may fix a size, in every copy of the program.
        """
        found: list[str] = []
        for name, node in zip(self.signature.input_names, self.inputs(), strict=True):
            for axis, dim in self.signature.dynamic.get(name, {}).items():
                size = node.meta["val"].shape[axis]
                if not isinstance(size, torch.SymInt) or size.node.expr.is_number:
                    found.append(dim.name)
        return list(dict.fromkeys(found))

    def sizes(self) -> dict[Any, tuple[DynamicDim, int, int]]:
        """Return what dynamic sizes are made of, by symbol: of 8·h that is h.

        With each dimension, its size in the example, and its axis in the first input that has it;
        -1 where a size there follows from it.
        """
        found: dict[Any, tuple[DynamicDim, int, int]] = {}
        flat = self.signature.flatten_inputs(*self.example)
        for name, value, node in zip(self.signature.input_names, flat, self.inputs(), strict=True):
            for axis, dim in self.signature.dynamic.get(name, {}).items():
                announced = node.meta["val"].shape[axis]
                if not isinstance(announced, torch.SymInt) or announced.node.expr.is_number:
                    continue  # torch found that it has one size alone
                (symbol,) = announced.node.expr.free_symbols
                size = (value.shape[axis] - dim.offset) // dim.scale
                rows = axis if dim.root is None else -1  # 8·h counts no rows
                found.setdefault(symbol, (dim.root or dim, size, rows))
        return found

    def outputs(self) -> list[Any]:
        """Return the flat outputs: nodes, or constants the model returns."""
        output = next(n for n in reversed(self.graph.nodes) if n.op == "output")
        values = output.args[0]
        return list(values) if isinstance(values, (tuple, list)) else [values]

    def clone(self) -> Program:
        """Copy the graph; weights are shared, which is safe because none is written in place."""
        graph = fx.Graph()
        mapping: dict[fx.Node, fx.Node] = {}
        result = graph.graph_copy(self.graph, mapping)
        output = graph.output(result)
        output.meta = dict(self.graph.output_node().meta)
        graph.set_codegen(copy.copy(self.graph._codegen))
        for old, new in mapping.items():
            new.meta = dict(old.meta)
        twin = Program(
            _LazyGraphModule(self.module, graph, class_name="Program"),
            self.signature,
            self.example,
            self.fake_mode,
        )
        twin.version = self.version
        twin.ledger = list(self.ledger)
        kept = {str(n.target) for n in graph.nodes if n.op == "get_attr"}
        twin._unrounded = {n: t for n, t in self._unrounded.items() if n in kept}
        twin.made_weights = {k: n for k, n in self.made_weights.items() if n in kept}
        twin._compiled_version = self.version
        return twin

    def text(self, *, stable: bool = False) -> str:
        """Return the program as text; `stable` keeps node names, for comparing two versions."""
        from rewrite.printer import print_program

        return print_program(self, stable=stable)
