"""Model files of the fuzzer, loaded apart from the compiler: the oracle is eager torch alone."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

_COUNT = itertools.count()


def load_file(path: Path) -> ModuleType:
    """Import a model file under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"fuzzed_{next(_COUNT)}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # torch.cond compiles its branches, and finds their module by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def load_text(text: str) -> dict[str, Any]:
    """Run the text of a model file and return its names."""
    names: dict[str, Any] = {"__name__": "fuzzed"}
    exec(compile(text, "fuzzed.py", "exec"), names)
    return names


def copied(inputs: Any) -> Any:
    """Return inputs of their own: a model may write to them."""
    return pytree.tree_map(lambda v: v.clone() if isinstance(v, Tensor) else v, inputs)


def call(model: Any, inputs: Any) -> list[Tensor]:
    """Run a model on a copy of inputs and return its flat outputs."""
    given = copied(inputs)
    with torch.no_grad():
        results = model(**given) if isinstance(given, dict) else model(*given)
    return [r if isinstance(r, Tensor) else torch.tensor(r) for r in pytree.tree_leaves(results)]


def input_names(model: nn.Module, inputs: Any) -> list[str]:
    """Return the names of inputs: those of a dict, or of the parameters of forward."""
    if isinstance(inputs, dict):
        return list(inputs)
    code = type(model).forward.__code__
    return list(code.co_varnames[1 : 1 + len(inputs)])


def is_same(left: list[Tensor], right: list[Tensor]) -> bool:
    """Tell whether two lists of outputs are equal bit for bit."""
    return len(left) == len(right) and all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(left, right, strict=True)
    )
