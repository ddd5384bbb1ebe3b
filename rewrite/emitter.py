"""The only thing that edits a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch._dispatch.python import enable_python_dispatcher
from torch.fx.node import map_arg

from rewrite.provenance import CARRIED
from rewrite.schema import call_arguments

if TYPE_CHECKING:
    from rewrite.program import Program


class Emitter:
    """Inserts, replaces and erases nodes while keeping `meta["val"]` and provenance valid."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.graph = program.graph
        self.created: list[fx.Node] = []
        """Nodes made since the driver last looked."""
        self._weights: dict[str, fx.Node] = {}
        for node in self.graph.nodes:
            if node.op == "get_attr":
                self._weights.setdefault(node.target, node)

    def call(
        self,
        overload: Any,
        /,
        *,
        like: fx.Node,
        val: Any = None,
        after: fx.Node | None = None,
        **named: Any,
    ) -> fx.Node:
        """Insert a call, its arguments given by ATen names.

        Args:
            overload: operator overload to call.
            like: node whose provenance the new one takes over; it is inserted before it.
            val: fake result when the caller knows it; computed otherwise.
            after: insert behind this node instead.
            named: arguments by schema name.
        """
        args, kwargs = call_arguments(overload, named)
        place = self.graph.inserting_after(after) if after else self.graph.inserting_before(like)
        with place:
            node = self.graph.call_function(overload, args, kwargs)
        for key in CARRIED:
            if key in like.meta:
                node.meta[key] = like.meta[key]
        node.meta["val"] = self._fake(overload, args, kwargs) if val is None else val
        self._touch()
        self.created.append(node)
        return node

    def item(self, node: fx.Node, index: int, *, like: fx.Node) -> fx.Node:
        """Insert `node[index]` for a call with several results."""
        import operator

        with self.graph.inserting_before(like):
            item = self.graph.call_function(operator.getitem, (node, index))
        for key in CARRIED:
            if key in like.meta:
                item.meta[key] = like.meta[key]
        item.meta["val"] = node.meta["val"][index]
        self._touch()
        self.created.append(item)
        return item

    def weight(
        self,
        make: Callable[[], torch.Tensor] | torch.Tensor,
        *,
        source: str,
        recipe: tuple[Any, ...],
        dtype: torch.dtype | None = None,
    ) -> fx.Node:
        """Return the node of a new weight, made once per (source, recipe) so that ties survive.

        Args:
            make: the tensor, or a function that makes it. Float64 results are rounded once, to
                the dtype of the source; the program keeps them unrounded for exact checks.
            source: name of the weight it comes from; also the base of its name.
            recipe: what was done to the source: names and numbers, no nodes.
            dtype: rounds to this dtype instead.
        """
        made = self.program.made_weights
        key = (source, *recipe)
        if key not in made:
            tensor = make if isinstance(make, torch.Tensor) else make()
            made[key] = self.program.add_weight(source, tensor, dtype or self._dtype_of(source))
        return self._weight_node(made[key])

    def tensor(self, node: Any) -> torch.Tensor:
        """Return the value of a weight node; floating ones in float64, before any rounding."""
        return self.program.precise_weight(node.target)

    def replace(self, old: fx.Node, new: fx.Node) -> None:
        """Let every user of `old` use `new`, then erase what is dead.

        Raises:
            ValueError: if the two differ in dtype or shape.
        """
        _require_same_type(old, new)
        old.replace_all_uses_with(new)
        self._touch()
        self.erase_dead(old)

    def replace_use(self, user: fx.Node, old: fx.Node, new: fx.Node) -> None:
        """Let `user` read `new` wherever it read `old`."""
        user.replace_input_with(old, new)
        self._touch()

    def redirect(self, old: fx.Node, new: fx.Node) -> None:
        """Let every user of `old` except `new` itself read `new`, which reads `old`."""
        old.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)
        self._touch()

    def set_arguments(self, node: fx.Node, /, **named: Any) -> None:
        """Change some arguments of a call in place, by ATen name, and recompute its value."""
        from rewrite.schema import arguments

        bound = {**arguments(node), **named}
        overload: Any = node.target
        node.args, node.kwargs = call_arguments(overload, bound)
        node.meta["val"] = self._fake(overload, node.args, node.kwargs)
        self._touch()

    def erase_dead(self, node: fx.Node) -> None:
        """Erase `node` and, going upwards, every producer nobody uses any more."""
        stack = [node]
        while stack:
            candidate = stack.pop()
            if candidate.users or candidate.op in ("placeholder", "output") or candidate._erased:
                continue
            producers = list(candidate.all_input_nodes)
            self.graph.erase_node(candidate)
            if candidate.op == "get_attr":
                self._forget(candidate)
            self._touch()
            stack.extend(producers)

    def _weight_node(self, name: str) -> fx.Node:
        node = self._weights.get(name)
        if node is not None and not node._erased:
            return node
        first = next(iter(self.graph.nodes))
        with self.graph.inserting_before(first):
            node = self.graph.get_attr(name)
        with self.program.fake_mode:
            node.meta["val"] = self.program.fake_mode.from_tensor(
                self.program.weight(name), static_shapes=True
            )
        self._weights[name] = node
        self._touch()
        return node

    def _dtype_of(self, source: str) -> torch.dtype:
        try:
            return self.program.weight(source).dtype
        except (AttributeError, KeyError):
            return torch.float32

    def _forget(self, node: fx.Node) -> None:
        name = str(node.target)
        if self._weights.get(name) is node:
            del self._weights[name]

    def _fake(self, overload: Any, args: Any, kwargs: Any) -> Any:
        def value(node: fx.Node) -> Any:
            return node.meta["val"]

        # Without its Python dispatcher torch computes some shapes in C++, as of constant_pad_nd,
        # which takes a dynamic size for the example's and fixes it for good.
        with self.program.fake_mode, torch.no_grad(), enable_python_dispatcher():
            return overload(*map_arg(args, value), **map_arg(kwargs, value))

    def _touch(self) -> None:
        self.program.touch()


def _require_same_type(old: fx.Node, new: fx.Node) -> None:
    before, after = old.meta.get("val"), new.meta.get("val")
    if not isinstance(before, torch.Tensor) or not isinstance(after, torch.Tensor):
        return
    if before.dtype != after.dtype or before.dim() != after.dim():
        raise ValueError(
            f"{new.name} is {after.dtype}{tuple(after.shape)}, but replaces {old.name}, "
            f"which is {before.dtype}{tuple(before.shape)}"
        )
    for left, right in zip(before.shape, after.shape, strict=True):
        if isinstance(left, int) and isinstance(right, int) and left != right:
            raise ValueError(
                f"{new.name} has shape {tuple(after.shape)}, but replaces {old.name} "
                f"of shape {tuple(before.shape)}"
            )
