"""The user's lines behind what is said of an output."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import fx

from rewrite.program import Program
from rewrite.provenance import source_line

_IN_PLACE = re.compile(r"[-+*/@|&^]=|[a-z0-9]_\(|\]\s*=(?!=)")
"""What a line that writes into a tensor looks like: x += y, x.add_(y), x[i] = y."""


def line_of_output(program: Program, what: str) -> str:
    """Return the user's line that makes the output named in a sentence, or the only one."""
    names = program.signature.output_names
    pairs = zip(names, program.outputs(), strict=True)
    outputs = {name: node for name, node in pairs if isinstance(node, fx.Node)}
    named = [name for name in outputs if f"'{name}" in what]
    # Where one output has numbers with fractions, it goes without saying.
    others = [name for name, node in outputs.items() if _has_fractions(node.meta.get("val"))]
    if not named and len(others) != 1:
        return ""
    # Of `out` and `out_1` the longer one.
    return source_line(outputs[max(named or others, key=len)])


def _has_fractions(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def lines_that_write(program: Program, most: int) -> list[str]:
    """Return the first lines behind a program that look as if they wrote into a tensor."""
    lines = dict.fromkeys(source_line(node) for node in program.graph.nodes)
    return [line for line in lines if _IN_PLACE.search(_code(line))][:most]


def _code(line: str) -> str:
    """Return the code of `file:line: code`."""
    return line.partition(": ")[2]
