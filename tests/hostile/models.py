"""Hostile ONNX files: metadata of other types, weights elsewhere, graphs that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from .good import Good

ESCAPE = "\x1b[2J\x1b]0;owned\x07"
METADATA: dict[str, tuple[str, str]] = {
    "no-json": ("ledger", "not JSON"),
    "half-json": ("ledger", '[{"pass": '),
    "deep": ("ledger", "[" * 100000),
    "number": ("seed", "9" * 5000),
    "huge": ("model", json.dumps("x" * 5_000_000)),
    "long": ("model", json.dumps("x" * 100_000)),
    "escape": ("version", ESCAPE),
    "ledger-number": ("ledger", "5"),
    "ledger-of-numbers": ("ledger", "[1]"),
    "ledger-empty-entry": ("ledger", "[{}]"),
    "ledger-entry": ("ledger", '[{"pass": ["x"], "equivalence": "exact", "options": {}}]'),
    "ledger-options": ("ledger", '[{"pass": "x", "equivalence": "exact", "options": 5}]'),
    "ledger-error": (
        "ledger",
        '[{"pass": "x", "equivalence": "exact", "options": {}, "relative_error": "x"}]',
    ),
    "fixed-list": ("fixed", "[1]"),
    "fixed-text": ("fixed", '{"batch": "one"}'),
    "fixed-negative": ("fixed", '{"batch": -1}'),
    "fixed-unknown": ("fixed", '{"\\u001b[31m": 3}'),
    "metrics-list": ("metrics", "[1]"),
    "metrics-text": ("metrics", '{"eager": {"accuracy": "good"}}'),
    "version-list": ("version", "[1]"),
    "seed-text": ("seed", '"x"'),
    "target-table": ("target", "{}"),
}
PLACES: dict[str, dict[str, str]] = {
    "absolute": {"location": "{outside}"},
    "climbs": {"location": "../outside/secret"},
    "climbs-back": {"location": "../{folder}/none"},
    "link": {"location": "link"},
    "link-climbs": {"location": "linked/secret"},
    "missing": {"location": "none\x1b[31m"},
    "folder": {"location": "."},
    "empty": {"location": ""},
    "none": {},
    "null": {"location": "a\0b"},
    "long": {"location": "x" * 5000},
    "device": {"location": "/dev/zero"},
    "offset-negative": {"location": "{data}", "offset": "-1"},
    "offset-text": {"location": "{data}", "offset": "first\x1b[31m"},
    "offset-huge": {"location": "{data}", "offset": "9" * 30},
    "offset-beyond": {"location": "{data}", "offset": "99999999"},
    "length-negative": {"location": "{data}", "length": "-1"},
    "length-text": {"location": "{data}", "length": "0x10"},
    "length-beyond": {"location": "{data}", "length": "99999999"},
}


def hostile_models(good: Good, outside: Path) -> Iterator[tuple[str, bytes, dict[str, Any], bool]]:
    """Yield the name, the content, the files beside, and whether rules are what it is held to."""
    for name, (key, text) in METADATA.items():
        model = onnx.load(good["model.onnx"])
        helper.set_model_props(model, {f"rewrite.{key}": text})
        yield f"metadata-{name}", model.SerializeToString(), {}, False
    (data,) = good.folder.glob("two.onnx.*.data")
    for name, entries in PLACES.items():
        model = onnx.load(good["two.onnx"], load_external_data=False)
        _place(model.graph.initializer[0], entries, outside, data)
        links = {"link": outside, "linked": outside.parent}
        for rules in (True, False):
            told = "rules" if rules else "run"
            yield f"weights-{name}-{told}", model.SerializeToString(), dict(links), rules
    for where, put in (
        ("attribute", _in_attribute),
        ("branch", _in_branch),
        ("sparse", _in_sparse),
    ):
        model = onnx.load(good["model.onnx"])
        put(model, _elsewhere(outside))
        yield f"weights-in-{where}", model.SerializeToString(), {}, True
    for name, change in GRAPHS.items():
        model = onnx.load(good["model.onnx"])
        change(model)
        yield f"graph-{name}", model.SerializeToString(), {}, False
    yield "nothing", b"", {}, True
    yield "text", b"not a model", {}, True
    yield "no-graph", onnx.ModelProto(ir_version=9).SerializeToString(), {}, True


def _place(tensor: TensorProto, entries: dict[str, str], outside: Path, data: Path) -> None:
    del tensor.external_data[:]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        said = value.replace("{outside}", str(outside)).replace("{data}", data.name)
        tensor.external_data.add(key=key, value=said.replace("{folder}", "hostile"))


def _elsewhere(outside: Path) -> TensorProto:
    tensor = TensorProto(name=ESCAPE, dims=[1], data_type=TensorProto.FLOAT)
    _place(tensor, {"location": str(outside)}, outside, outside)
    return tensor


def _in_attribute(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))


def _in_branch(model: onnx.ModelProto, tensor: TensorProto) -> None:
    value = helper.make_tensor_value_info("v", TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", [tensor.name], ["v"])
    branch = helper.make_graph([node], "b", [], [value], [tensor])
    condition = helper.make_tensor("k", TensorProto.BOOL, [1], [True])
    model.graph.initializer.append(condition)
    made = helper.make_node("If", ["k"], ["i"], then_branch=branch, else_branch=branch)
    model.graph.node.append(made)


def _in_sparse(model: onnx.ModelProto, tensor: TensorProto) -> None:
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=tensor, indices=indices))


def _cycle(model: onnx.ModelProto) -> None:
    first, last = model.graph.node[0], model.graph.node[-1]
    first.input[0] = last.output[0]


def _nested(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "inner", [], [])
    for _ in range(30):
        node = helper.make_node("If", ["none"], ["x"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "inner", [], [])
        if graph.ByteSize() > 1 << 20:
            break
    model.graph.node.extend(graph.node)


def _set(**fields: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for name, value in fields.items():
            setattr(model, name, value)

    return change


def _node(**fields: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for name, value in fields.items():
            setattr(model.graph.node[0], name, value)

    return change


def _weight(**fields: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
        for name, value in fields.items():
            if name == "dims":
                del tensor.dims[:]
                tensor.dims.extend(value)
            else:
                setattr(tensor, name, value)

    return change


def _renamed(value: str, of: str) -> Callable[[onnx.ModelProto], None]:
    return lambda model: setattr(getattr(model.graph, of)[0], "name", value)


GRAPHS: dict[str, Callable[[onnx.ModelProto], None]] = {
    "cycle": _cycle,
    "nested": _nested,
    "no-opset": lambda model: model.ClearField("opset_import"),
    "opset": lambda model: setattr(model.opset_import[0], "version", 10**9),
    "opset-negative": lambda model: setattr(model.opset_import[0], "version", -5),
    "ir-version": _set(ir_version=10**9),
    "operator": _node(op_type=f"None{ESCAPE}"),
    "domain": _node(domain=ESCAPE),
    "node-without-inputs": lambda model: model.graph.node[0].ClearField("input"),
    "node-without-outputs": lambda model: model.graph.node[0].ClearField("output"),
    "weight-cut": _weight(raw_data=b"\0"),
    "weight-negative": _weight(dims=[-1, 8]),
    "weight-giant": _weight(dims=[2**40, 2**20]),
    "weight-type": _weight(data_type=999),
    "no-outputs": lambda model: model.graph.ClearField("output"),
    "no-inputs": lambda model: model.graph.ClearField("input"),
    "output": _renamed(ESCAPE, "output"),
    "input": _renamed(ESCAPE, "input"),
    "twice": lambda model: model.graph.initializer.append(model.graph.initializer[0]),
    "no-nodes": lambda model: model.graph.ClearField("node"),
}
