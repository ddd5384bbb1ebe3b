"""Programs as text, for people and golden tests. Output only."""

from __future__ import annotations

import difflib
import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from rewrite.schema import argument_names

if TYPE_CHECKING:
    from rewrite.program import Program

_DTYPES = {
    torch.float64: "f64",
    torch.float32: "f32",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int16: "i16",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.uint16: "u16",
    torch.bool: "b1",
}


def print_program(program: Program, *, stable: bool = False) -> str:
    """Render one line per call: `%n = op(arguments)  # dtype[shape]`."""
    symbols = symbol_names(program)
    names = _Names(stable)
    header = ", ".join(
        f"%{_input_name(program, i)}: {_type(n, symbols)}" for i, n in enumerate(program.inputs())
    )
    for i, n in enumerate(program.inputs()):
        names.fixed[n] = f"%{_input_name(program, i)}"
    rows = []
    for node in program.graph.nodes:
        if node.op == "call_function":
            call = f"{_op_name(node)}({_arguments(node, names)})"
            rows.append((f"  {names(node)} = {call}", _type(node, symbols)))
    # A stable text is compared line by line, so no line depends on the length of another.
    width = 0 if stable else min(max((len(left) for left, _ in rows), default=0), 88)
    body = [f"{left:<{width}}  # {right}" for left, right in rows]
    returned = ", ".join(
        f"{name}={_value(value, names)}"
        for name, value in zip(program.signature.output_names, program.outputs(), strict=False)
    )
    return "\n".join([f"program({header}):", *body, f"  return {returned}", ""])


def diff_programs(before: Program, after: Program, *, context_lines: int = 1) -> str:
    """Return a unified diff of two programs by node names."""
    lines = difflib.unified_diff(
        before.text(stable=True).splitlines(),
        after.text(stable=True).splitlines(),
        "before",
        "after",
        lineterm="",
        n=context_lines,
    )
    return "\n".join(lines)


class _Names:
    """SSA numbers in order of appearance, or node names when the text must be stable."""

    def __init__(self, stable: bool) -> None:
        self.stable = stable
        self.fixed: dict[fx.Node, str] = {}
        self._count = 0

    def __call__(self, node: fx.Node) -> str:
        if node.op == "get_attr":
            return f"@{node.target}"
        if node not in self.fixed:
            self.fixed[node] = f"%{node.name}" if self.stable else f"%{self._count}"
            self._count += 1
        return self.fixed[node]


def _input_name(program: Program, index: int) -> str:
    return program.signature.input_names[index]


def _op_name(node: fx.Node) -> str:
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        base = str(target._schema.name)
        namespace, _, name = base.partition("::")
        overload = target._overloadname
        suffix = "" if overload in ("default", "Tensor", "Scalar", "int", "dim") else f".{overload}"
        return f"{name}{suffix}" if namespace == "aten" else f"{namespace}.{name}{suffix}"
    return str(getattr(target, "__name__", target))


def _arguments(node: fx.Node, names: _Names) -> str:
    if node.target is operator.getitem or not isinstance(node.target, torch._ops.OpOverload):
        return ", ".join(_value(a, names) for a in node.args)
    schema = argument_names(node.target)
    shown: list[str] = []
    positional = True
    for name, value in zip(schema, node.args, strict=False):
        positional = positional and isinstance(value, fx.Node)
        text = _value(value, names)
        shown.append(text if positional else f"{name}={text}")
    defaults = {
        a.name: a.default_value for a in node.target._schema.arguments if a.has_default_value()
    }
    for position, name in enumerate(schema[: len(node.args)]):
        if name in defaults and _equal(node.args[position], defaults[name]):
            shown[position] = ""
    shown = [s for s in shown if s]
    shown.extend(
        f"{k}={_value(v, names)}"
        for k, v in node.kwargs.items()
        if not (k in defaults and _equal(v, defaults[k]))
    )
    return ", ".join(shown)


def _equal(value: Any, default: Any) -> bool:
    if isinstance(value, fx.Node):
        return False
    if isinstance(value, (list, tuple)) and isinstance(default, (list, tuple)):
        return list(value) == list(default)
    return type(value) is type(default) and bool(value == default)


def _value(value: Any, names: _Names) -> str:
    if isinstance(value, fx.Node):
        return names(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(v, names) for v in value)}]"
    if isinstance(value, torch.dtype):
        return _DTYPES.get(value, str(value))
    return repr(value) if isinstance(value, str) else str(value)


def _type(node: fx.Node, symbols: dict[str, str]) -> str:
    return _describe(node.meta.get("val"), symbols)


def _describe(val: Any, symbols: dict[str, str]) -> str:
    if isinstance(val, torch.Tensor):
        sizes = ", ".join(symbolic(s, symbols) for s in val.shape)
        return f"{_DTYPES.get(val.dtype, str(val.dtype))}[{sizes}]"
    if isinstance(val, (tuple, list)):
        return f"({', '.join(_describe(v, symbols) for v in val)})"
    if val is None:
        return "none"
    return symbolic(val, symbols)


def symbolic(size: Any, symbols: dict[str, str]) -> str:
    text = str(size)
    for symbol in sorted(symbols, key=len, reverse=True):
        text = text.replace(symbol, symbols[symbol])
    return text


def symbol_names(program: Program) -> dict[str, str]:
    """Map the shape environment's symbols to the user's dimension names."""
    return {str(symbol): dim.name for symbol, (dim, _, _) in program.sizes().items()}
