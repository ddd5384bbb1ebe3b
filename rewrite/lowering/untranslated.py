"""What an operator without a translation is called in the user's model, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from rewrite.errors import CheckError
from rewrite.program import Program
from rewrite.provenance import source_line

_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)', overload='([^']+)'\)")
_HINT = "add one with the hook rewrite_lowerings, or write the model without it"


def explain(program: Program, error: Exception, table: dict[Any, Callable[..., Any]]) -> CheckError:
    """Name the call of the program that the exporter stumbled over.

    Args:
        program: as it was exported.
        error: the exporter's.
        table: the decompositions in use, through which a call may have become others.
    """
    found = _MISSING.search(_whole_text(error))
    missing = f"{found[1]}.{found[2]}" if found else None
    node = _source_of(program, missing, table) if missing else _named(program, str(error))
    if node is None:
        return CheckError(f"the ONNX exporter failed: {_cause(error)}")
    what = f"no ONNX translation for '{node.target}'"
    if missing is None:
        what = f"{what}: {_cause(error)}"
    elif missing != str(node.target):
        what = f"{what}: it is made of '{missing}', which has none"
    return CheckError(what, where=source_line(node) or None, hint=_HINT)


def _source_of(
    program: Program, missing: str, table: dict[Any, Callable[..., Any]]
) -> fx.Node | None:
    """Return the call that is the missing operator, or that decomposes into it."""
    calls = [n for n in program.graph.nodes if isinstance(n.target, torch._ops.OpOverload)]
    same = [node for node in calls if str(node.target) == missing]
    made: Iterator[fx.Node] = (node for node in calls if missing in _parts(node, table))
    return same[0] if same else next(made, None)


def _parts(node: fx.Node, table: dict[Any, Callable[..., Any]]) -> set[str]:
    """Return the operators that a call decomposes into, none where it cannot be traced."""

    def value(source: fx.Node) -> Any:
        return source.meta.get("val")

    given = (map_arg(node.args, value), map_arg(node.kwargs, value))
    leaves, spec = pytree.tree_flatten(given)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

    def call(*tensors: torch.Tensor) -> Any:
        filled = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        args, kwargs = pytree.tree_unflatten(filled, spec)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    try:
        with torch.no_grad():
            made = make_fx(call, decomposition_table=table)(*[leaves[i] for i in places])
    except Exception:  # a call that no trace takes explains nothing
        return set()
    return {str(part.target) for part in made.graph.nodes}


def _named(program: Program, text: str) -> fx.Node | None:
    """Return the call whose name the exporter's message holds."""
    calls = (node for node in program.graph.nodes if node.op == "call_function")
    return next((node for node in calls if f"%{node.name} " in text), None)


def _whole_text(error: BaseException) -> str:
    texts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        texts.append(str(link))
        link = link.__cause__
    return "\n".join(texts)


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
