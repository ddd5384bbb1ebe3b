"""A written model: one file, or two where its weights lie beside it under a name of their own.

The name of the weights says their content, and the model names them. So neither an old model with
new weights nor a new one with old weights can be found, whenever a run is killed.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Iterable
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx.external_data_helper import ExternalDataInfo

from rewrite.destination import put
from rewrite.errors import UsageError
from rewrite.onnx_file import stored_elsewhere

PRODUCER = "rewrite"
_ONE_FILE_BYTES = 1_900_000_000
"""Protobuf cannot hold 2 GB; above this the weights go to a file beside the model."""


def save(model: ir.Model, path: Path) -> None:
    """Write a model; past protobuf's limit the weights go to `NAME.DIGEST.data` beside it.

    Raises:
        UsageError: when the place cannot be written.
    """
    held = [v.const_value for graph in model.graphs() for v in graph.initializers.values()]
    weights = [tensor for tensor in held if tensor is not None]
    try:
        if sum(tensor.nbytes for tensor in weights) < _ONE_FILE_BYTES:
            ir.save(model, path)
        else:
            ir.save(model, path, external_data=f"{path.name}.{_digest(weights)}.data")
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror or error}") from error


def parts_of(path: Path) -> list[Path]:
    """Return a written model and, in front of it, the files of weights that it names.

    The weights come first: whoever finds a moved model finds its weights too.
    """
    if not any(file.name.endswith(".data") for file in path.parent.iterdir()):
        return [path]  # nothing to look for in what may be gigabytes
    model = onnx.load(path, load_external_data=False)
    names = dict.fromkeys(ExternalDataInfo(tensor).location for tensor in stored_elsewhere(model))
    return [*(path.with_name(name) for name in names), path]


def size_of(path: Path) -> int:
    """Return the bytes of all parts of a written file."""
    return sum(part.stat().st_size for part in parts_of(path))


def place(path: Path, output: Path) -> None:
    """Move a written file to where the user wants it, its weights first, and remove old ones.

    A link there is replaced, and not what it points to: weights are looked for beside the model as
    it is named.

    Raises:
        UsageError: when that cannot be done.
    """
    try:
        old = _weights_left(output)
        try:
            for part in parts_of(path):
                put(part, output if part == path else output.with_name(part.name))
        finally:
            _remove_unnamed([*old, *_with_digest(output)], path.parent)
    except OSError as error:
        raise UsageError(f"cannot write '{output}': {error.strerror}") from error


def _digest(weights: Iterable[ir.TensorProtocol]) -> str:
    digest = hashlib.sha256()
    for tensor in weights:
        digest.update(tensor.nbytes.to_bytes(8, "little"))
        digest.update(tensor.tobytes())
    return digest.hexdigest()[:16]


def _with_digest(output: Path) -> list[Path]:
    """Return the weights beside a place that runs put there, finished ones and killed ones."""
    ours = re.compile(rf"{re.escape(output.name)}\.[0-9a-f]{{16}}\.data")
    return [file for file in output.parent.iterdir() if ours.fullmatch(file.name)]


def _weights_left(output: Path) -> list[Path]:
    """Return weights that an earlier version put beside a file that is to be replaced.

    They are called as other programs call theirs: only what a file of ours names is ours.
    """
    data = output.with_name(f"{output.name}.data")
    if not data.is_file() or not output.is_file() or not _names(output, data.name):
        return []
    try:
        model = onnx.load(output, load_external_data=False)
    except Exception:  # damaged, or no ONNX at all
        return []
    return [data] if model.producer_name == PRODUCER else []


def _remove_unnamed(files: Iterable[Path], scratch: Path) -> None:
    """Remove weights that no model beside them names, nor one that another run is writing."""
    for file in files:
        # Scratch folders first: what leaves one meanwhile is found in its place after that.
        models = [*file.parent.glob(".rewrite-*/*.onnx"), *file.parent.glob("*.onnx")]
        if not any(_names(model, file.name) for model in models if model.parent != scratch):
            file.unlink(missing_ok=True)


def _names(model: Path, name: str) -> bool:
    """Tell whether a model may name a file: protobuf holds text as it is."""
    try:
        if not model.is_file() or not model.stat().st_size:
            return False
        with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            return held.find(name.encode()) >= 0
    except FileNotFoundError:
        return False
    except OSError:
        return True
