"""What the compiler keeps in the metadata of a file that it writes, and reads from any."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from rewrite.errors import UsageError
from rewrite.request import LARGEST_SEED

METADATA_PREFIX = "rewrite."
_LONGEST = 4_000_000
"""Characters of one entry; a ledger takes some thousands."""
_HINT = "the file was changed or is damaged: write it again"


def add_metadata(path: Path, name: str, value: Any) -> None:
    """Store one more entry in a written file, as JSON under `rewrite.NAME`.

    Two protobuf messages in one file are read as one, their lists joined: a short message behind
    the model adds to its metadata without loading it.

    Raises:
        UsageError: when the disk does not take it.
    """
    entry = onnx.StringStringEntryProto(
        key=METADATA_PREFIX + name, value=json.dumps(value, default=str)
    )
    try:
        with path.open("ab") as file:
            file.write(onnx.ModelProto(metadata_props=[entry]).SerializeToString())
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror or error}") from error


def read_metadata(model: onnx.ModelProto, path: Path) -> dict[str, Any]:
    """Return what is stored in a file by name, of the types that `rewrite` writes.

    Raises:
        UsageError: naming the file, for an entry that is no JSON or says something else.
    """
    found = {}
    for entry in model.metadata_props:
        if entry.key.startswith(METADATA_PREFIX):
            name = entry.key.removeprefix(METADATA_PREFIX)
            found[name] = _read(name, entry.value, path)
    return found


def _read(name: str, text: str, path: Path) -> Any:
    where = f"metadata '{METADATA_PREFIX}{name}'"
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"it has {len(text)} characters")
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = f"'{path}' holds metadata that cannot be read: {str(error).splitlines()[0]}"
        raise UsageError(what, where=where, hint=_HINT) from None
    is_right, wanted = _TYPES.get(name, (_is_anything, ""))
    if not is_right(value):
        what = f"'{path}' holds metadata of another type: it is no {wanted}"
        raise UsageError(what, where=where, hint=_HINT)
    return value


def _is_anything(value: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 5000


def _is_seed(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_SEED


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_table_of(inner: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(inner(each) for each in value.values())


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _is_ledger(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(e, dict) and _is_entry(e) for e in value)


def _is_entry(entry: dict[str, Any]) -> bool:
    error, options = entry.get("relative_error"), entry.get("options")
    named = _is_text(entry.get("pass")) and _is_text(entry.get("equivalence"))
    typed = isinstance(options, dict) and all(map(_is_option, options.values()))
    return named and typed and (error is None or _is_number(error))


def _is_option(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, (str, int, float)) for each in value)
    return value is None or isinstance(value, (str, int, float))


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("version", "torch", "model", "target"), (_is_text, "short text")),
    "seed": (_is_seed, f"whole number from 0 to {LARGEST_SEED}"),
    "fixed": (_is_table_of(_is_size), "table of sizes"),
    "ledger": (_is_ledger, "list of passes"),
    "metrics": (_is_table_of(_is_table_of(_is_number)), "table of tables of numbers"),
}
"""What each entry must be, and what that is called."""
