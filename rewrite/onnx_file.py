"""Opening an ONNX file that somebody names: what is wrong with it is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from rewrite.errors import UsageError, first_line

_HINT = "give a file ending in .onnx"


def open_onnx(path: Path) -> onnx.ModelProto:
    """Return the model of a file; weights that lie in other files stay there.

    Raises:
        UsageError: for a file that is missing, a folder, no ONNX, or without the data beside it.
    """
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder", hint=_HINT)
    if not path.is_file():
        raise UsageError(f"there is no file '{path}'", hint="write one: rewrite MODEL -o OUT.onnx")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        reason = first_line(error)
        raise UsageError(f"'{path}' is not an ONNX file: {reason}", hint=_HINT) from error
    if not model.HasField("graph"):
        # An empty file is a valid message of protobuf.
        raise UsageError(f"'{path}' is not an ONNX file: it holds no graph", hint=_HINT)
    for tensor in _stored_elsewhere(model.graph):
        _check_data(path, tensor)
    return model


def _check_data(path: Path, tensor: onnx.TensorProto) -> None:
    info = ExternalDataInfo(tensor)
    data = path.parent / info.location
    if not data.resolve().is_relative_to(path.parent.resolve()):
        raise UsageError(
            f"weights of '{path}' lie outside of its folder, in '{info.location}'",
            where=f"tensor '{tensor.name}'",
            hint="put the data file beside the model: runtimes look nowhere else",
        )
    if not data.is_file():
        raise UsageError(
            f"there is no file '{data}', which holds weights of '{path}'",
            where=f"tensor '{tensor.name}'",
            hint="copy it there: a model and its data files go together",
        )
    end, size = (info.offset or 0) + (info.length or 0), data.stat().st_size
    if end > size:
        raise UsageError(
            f"'{data}' ends at byte {size}, before weights of '{path}' do, at {end}",
            where=f"tensor '{tensor.name}'",
            hint="copy it again: a model and its data files go together",
        )


def _stored_elsewhere(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors of a graph and those inside it that lie in other files."""
    yield from (tensor for tensor in graph.initializer if uses_external_data(tensor))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t") and uses_external_data(attribute.t):
                yield attribute.t
            inner = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
            for each in inner:
                yield from _stored_elsewhere(each)
