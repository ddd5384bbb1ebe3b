"""A spec as a model file: the one text that is compiled, run eagerly and kept."""

from __future__ import annotations

from .spec import Dim, Input, Outputs, Spec

_HEAD = '''"""{title}"""

import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
{init}

    def forward(self, {names}):
{code}
        return {outputs}


def model():
    torch.manual_seed({seed})
    net = Net()
    with torch.no_grad():
        for name, value in [*net.named_parameters(), *net.named_buffers()]:
            if "running_var" in name:
                value.uniform_(0.5, 2)
            elif value.dim() == 1 and value.is_floating_point():
                value += 0.2 * torch.randn_like(value)
    return net.eval()


def draw(seed, {sizes}):
    g = torch.Generator().manual_seed(seed)
    return {drawn}


def inputs():
    return draw(0)


dynamic_shapes = {dynamic}


def calibration():
    for seed in range(1, 5):
        yield draw(seed)


def others():
{others}
'''

_EDGES = {
    "float": ("zeros", "large", "negative", "tiny"),
    "int": ("lowest", "highest"),
    "bool": ("all true", "all false"),
}
_EDGE_CODE = {
    "zeros": "0 * v",
    "large": "100 * v",
    "negative": "-v.abs()",
    "tiny": "1e-3 * v",
    "lowest": "0 * v",
    "highest": "0 * v + {high}",
    "all true": "v | True",
    "all false": "v & False",
}


def print_model(spec: Spec) -> str:
    """Return the text of a model file."""
    init = [line for step in spec.steps for line in step.init] or ["pass"]
    code = [line for step in spec.steps for line in step.code] or ["pass"]
    return _HEAD.format(
        title=f"Seed {spec.seed}: {', '.join(spec.ops)}."[:900],
        init=_indented(init, 8),
        code=_indented(code, 8),
        names=", ".join(each.name for each in spec.inputs),
        outputs=_structure(spec.outputs),
        seed=spec.seed,
        sizes=", ".join(f"{dim.name}={dim.sizes[0]}" for dim in spec.dims),
        drawn=_drawn(spec),
        dynamic=_dynamic(spec),
        others=_indented(_others(spec), 4),
    )


def _indented(lines: list[str], by: int) -> str:
    return "\n".join(" " * by + line for line in lines)


def _structure(outputs: Outputs) -> str:
    if isinstance(outputs, str):
        return outputs
    if isinstance(outputs, dict):
        return "{" + ", ".join(f'"{k}": {_structure(v)}' for k, v in outputs.items()) + "}"
    return "(" + ", ".join(_structure(v) for v in outputs) + ",)"


def _tensor(each: Input) -> str:
    shape = f"({', '.join(map(str, each.shape))},)"
    if each.kind == "float":
        return f"torch.randn({shape}, generator=g)"
    if each.kind == "int":
        return f"torch.randint(0, {each.high}, {shape}, generator=g)"
    return f"torch.rand({shape}, generator=g) < 0.7"


def _drawn(spec: Spec) -> str:
    if spec.positional:
        return "(" + ", ".join(_tensor(each) for each in spec.inputs) + ",)"
    return "{" + ", ".join(f'"{each.name}": {_tensor(each)}' for each in spec.inputs) + "}"


def _dynamic(spec: Spec) -> str:
    if not spec.dims:
        return "None"
    dims = {dim.name: _dim(dim) for dim in spec.dims}
    parts = []
    for each in spec.inputs:
        marks = [f"{i}: {dims[s]}" for i, s in enumerate(each.shape) if isinstance(s, str)]
        parts.append("{" + ", ".join(marks) + "}")
    if spec.positional:
        return "(" + ", ".join(parts) + ",)"
    named = zip(spec.inputs, parts, strict=True)
    return "{" + ", ".join(f'"{each.name}": {part}' for each, part in named) + "}"


def _dim(dim: Dim) -> str:
    low = f", min={dim.low}" if dim.low > 1 else ""
    return f'torch.export.Dim("{dim.name}"{low}, max={dim.high})'


def _others(spec: Spec) -> list[str]:
    """Return statements that yield (label, inputs): other values, other sizes, edges."""
    lines = ['yield "values", draw(100)', 'yield "values again", draw(101)']
    count = max([len(dim.sizes) for dim in spec.dims], default=1)
    for turn in range(1, count):
        sizes = {dim.name: dim.sizes[turn % len(dim.sizes)] for dim in spec.dims}
        given = ", ".join(f"{name}={size}" for name, size in sizes.items())
        lines.append(f'yield "sizes {given}", draw({101 + turn}, {given})')
    for each in spec.inputs:
        for edge in _EDGES[each.kind]:
            lines.append(f'yield "{edge} {each.name}", {_edge(spec, each, edge)}')
    return lines


def _edge(spec: Spec, each: Input, edge: str) -> str:
    code = _EDGE_CODE[edge].format(high=each.high - 1)
    if not spec.positional:
        key = f'"{each.name}"'
        return f"{{k: ({code} if k == {key} else v) for k, v in draw(200).items()}}"
    place = spec.inputs.index(each)
    return f"tuple({code} if i == {place} else v for i, v in enumerate(draw(200)))"
