"""Padding with values of the tensor itself, as all runtimes read it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rewrite.lowering.constants import constant

_TO_THE_END = np.iinfo(np.int64).max
_Amounts = dict[int, tuple[int, int]]
"""What is put in front and behind, by axis; below 0 it is taken away."""


def spell_pads(model: ir.Model) -> None:
    """Write Pads of whose mode or amounts a runtime knows nothing in other words, in place.

    OpenVINO 2026.4 has no mode `wrap`. ONNX Runtime 1.31 reads negative amounts as PyTorch does
    only where it pads with a constant.
    """
    for pad in list(model.graph):
        mode = pad.attributes.get("mode") if pad.op_type == "Pad" else None
        if mode is None or mode.as_string() == "constant" or pad.inputs[0] is None:
            continue
        amounts = _amounts(pad)
        if amounts is None:
            continue
        if mode.as_string() == "wrap":
            _Spelling(model, pad).join_ends(amounts)
        elif any(min(both) < 0 for both in amounts.values()):
            _Spelling(model, pad).crop_behind(amounts)


def _amounts(pad: ir.Node) -> _Amounts | None:
    """Return the amounts that are not 0; None where they are computed."""
    tensor = ir.convenience.get_const_tensor(pad.inputs[1]) if pad.inputs[1] is not None else None
    value = pad.inputs[3] if len(pad.inputs) > 3 else None
    axes = ir.convenience.get_const_tensor(value) if value is not None else None
    if tensor is None or (value is not None and axes is None):
        return None
    both = [int(n) for n in tensor.numpy().reshape(-1)]
    half = len(both) // 2
    named = range(half) if axes is None else [int(a) for a in axes.numpy().reshape(-1)]
    pairs = zip(named, zip(both[:half], both[half:], strict=True), strict=True)
    return {axis: pair for axis, pair in pairs if any(pair)}


class _Spelling:
    """The nodes that take the place of one Pad."""

    def __init__(self, model: ir.Model, pad: ir.Node) -> None:
        assert pad.inputs[0] is not None
        self.model, self.pad, self.value = model, pad, pad.inputs[0]
        self.made: list[ir.Node] = []

    def join_ends(self, amounts: _Amounts) -> None:
        """Write Concat(last of x, x, first of x) along each axis, of x cropped before."""
        for axis, (front, behind) in amounts.items():
            self.value = self._cropped(self.value, axis, front, behind)
            parts = [self.value]
            if front > 0:
                parts.insert(0, self._part(self.value, axis, -front, _TO_THE_END))
            if behind > 0:
                parts.append(self._part(self.value, axis, 0, behind))
            if len(parts) > 1:
                named = {"axis": ir.AttrInt64("axis", axis)}
                self.value = self._add(ir.node("Concat", parts, attributes=named), "joined")
        self._replace()

    def crop_behind(self, amounts: _Amounts) -> None:
        """Pad by what is above 0, then crop by what is below: values come from all of x."""
        rank = max(amounts) + 1 if self.value.shape is None else len(self.value.shape)
        front, behind = ([max(amounts.get(n, (0, 0))[i], 0) for n in range(rank)] for i in (0, 1))
        if any(front) or any(behind):
            sizes = constant(self.model, f"{self.pad.name}_amounts", np.array([*front, *behind]))
            padded = ir.node("Pad", [self.value, sizes], attributes=dict(self.pad.attributes))
            self.value = self._add(padded, "padded")
        for axis, both in amounts.items():
            self.value = self._cropped(self.value, axis, *both)
        self._replace()

    def _cropped(self, value: ir.Value, axis: int, front: int, behind: int) -> ir.Value:
        if min(front, behind) >= 0:
            return value
        return self._part(value, axis, max(-front, 0), behind if behind < 0 else _TO_THE_END)

    def _part(self, value: ir.Value, axis: int, start: int, end: int) -> ir.Value:
        name = f"{self.pad.name}_{len(self.made)}"
        named = (("start", start), ("end", end), ("axis", axis))
        numbers = [
            constant(self.model, f"{name}_{kind}", np.array([n], np.int64)) for kind, n in named
        ]
        return self._add(ir.node("Slice", [value, *numbers]), "part")

    def _add(self, node: ir.Node, kind: str) -> ir.Value:
        node.name, result = f"{self.pad.name}_{kind}_{len(self.made)}", node.outputs[0]
        result.name, result.type = f"{node.name}_out", self.pad.outputs[0].type
        self.made.append(node)
        return result

    def _replace(self) -> None:
        if not self.made:
            self._add(ir.node("Identity", [self.value]), "same")
        ir.convenience.replace_nodes_and_values(
            self.model.graph,
            self.pad,
            [self.pad],
            self.made,
            self.pad.outputs,
            self.made[-1].outputs,
        )
