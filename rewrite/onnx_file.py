"""Opening an ONNX file that somebody names: what is wrong with it is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx.external_data_helper import uses_external_data

from rewrite.errors import UsageError, first_line
from rewrite.named_files import require_plain

_HINT = "give a file ending in .onnx"
_SHOWN = 200
"""Characters of a name that somebody else made."""


@dataclass(frozen=True)
class _Place:
    """Where the values of a tensor lie, as its entries say."""

    location: str
    offset: int
    length: int

    @classmethod
    def of(cls, tensor: onnx.TensorProto) -> _Place:
        """Read the entries; raises ValueError for those that say no place."""
        said = {entry.key: entry.value for entry in tensor.external_data}
        location = said.get("location", "")
        if not location or "\0" in location:
            raise ValueError("no file is named")
        offset, length = (_count(key, said.get(key, "0")) for key in ("offset", "length"))
        return cls(location, offset, length)


def open_onnx(path: Path) -> onnx.ModelProto:
    """Return the model of a file; weights that lie in other files stay there.

    Raises:
        UsageError: for a file that is missing, a folder, no ONNX, or without the data beside it.
    """
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder", hint=_HINT)
    require_plain(path)
    if not path.is_file():
        raise UsageError(f"there is no file '{path}'", hint="write one: rewrite MODEL -o OUT.onnx")
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except Exception as error:
        reason = first_line(error)
        raise UsageError(f"'{path}' is not an ONNX file: {reason}", hint=_HINT) from error
    if not model.HasField("graph"):
        # An empty file is a valid message of protobuf.
        raise UsageError(f"'{path}' is not an ONNX file: it holds no graph", hint=_HINT)
    for tensor in stored_elsewhere(model):
        _check_data(path, tensor)
    return model


def stored_elsewhere(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors of a model, and of what is inside it, that lie in other files."""
    graphs = [model.graph]
    for training in model.training_info:
        graphs += [training.initialization, training.algorithm]
    for graph in graphs:
        yield from filter(uses_external_data, _of_graph(graph))
    for function in model.functions:
        for node in function.node:
            yield from filter(uses_external_data, _of_node(node))


def _check_data(path: Path, tensor: onnx.TensorProto) -> None:
    where = f"tensor '{tensor.name[:_SHOWN]}'"
    try:
        place = _Place.of(tensor)
    except ValueError as error:
        raise UsageError(
            f"'{path}' does not say where its weights lie: {error}",
            where=where,
            hint="write the file again: it is damaged",
        ) from None
    data = path.parent / place.location
    shown = place.location[:_SHOWN]
    # As it is written and as links lead: runtimes differ in what they look at.
    is_inside = not Path(place.location).is_absolute() and ".." not in Path(place.location).parts
    if not is_inside or not _is_below(data, path.parent):
        raise UsageError(
            f"weights of '{path}' lie outside of its folder, in '{shown}'",
            where=where,
            hint="put the data file beside the model: runtimes look nowhere else",
        )
    if not _is_file(data):
        raise UsageError(
            f"there is no file '{path.parent / shown}', which holds weights of '{path}'",
            where=where,
            hint="copy it there: a model and its data files go together",
        )
    end, size = place.offset + place.length, data.stat().st_size
    if end > size:
        raise UsageError(
            f"'{data}' ends at byte {size}, before weights of '{path}' do, at {end}",
            where=where,
            hint="copy it again: a model and its data files go together",
        )


def _count(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"{key} is '{text[:40]}'")
    return int(text)


def _is_below(data: Path, folder: Path) -> bool:
    try:
        return data.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link in a circle
        return False


def _is_file(data: Path) -> bool:
    try:
        return data.is_file()
    except OSError:  # a name that no file can have
        return False


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _of_graph(graph)
