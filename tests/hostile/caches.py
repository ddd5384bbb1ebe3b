"""Hostile calibration caches: of other types, and with a digest that is right all the same."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rewrite.quantization.cache import _digest

from .good import Good

Change = Callable[[dict[str, str], dict[str, torch.Tensor]], None]


def _progress(**values: Any) -> Change:
    def change(metadata: dict[str, str], tensors: dict[str, torch.Tensor]) -> None:
        metadata["progress"] = json.dumps({**json.loads(metadata["progress"]), **values})

    return change


def _data(**values: Any) -> Change:
    def change(metadata: dict[str, str], tensors: dict[str, torch.Tensor]) -> None:
        progress = json.loads(metadata["progress"])
        progress["data"] = {**progress["data"], **values}
        metadata["progress"] = json.dumps(progress)

    return change


def _said(key: str, value: str) -> Change:
    return lambda metadata, tensors: metadata.update({key: value})


def _held(**named: torch.Tensor) -> Change:
    return lambda metadata, tensors: tensors.update(named)


def _every(make: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return lambda metadata, tensors: tensors.update({k: make(v) for k, v in tensors.items()})


CHANGES: dict[str, Change] = {
    "format": _said("format", "\x1b[31mrewrite"),
    "fingerprint-no-json": _said("fingerprint", "{"),
    "fingerprint-list": _said("fingerprint", "[1]"),
    "fingerprint-numbers": _said("fingerprint", '{"method": 1}'),
    "fingerprint-escape": _said("fingerprint", '{"method": "\\u001b[31m"}'),
    "progress-no-json": _said("progress", "nothing"),
    "progress-deep": _said("progress", "[" * 100000),
    "progress-list": _said("progress", "[]"),
    "progress-empty": _said("progress", "{}"),
    "progress-more": _progress(more=1),
    "batches-text": _progress(batches="3"),
    "batches-negative": _progress(batches=-3),
    "complete-number": _progress(complete=1),
    "left-out-list": _progress(left_out=[]),
    "chosen-numbers": _progress(chosen={"a": 1}),
    "data-number": _progress(data=5),
    "data-step": _data(step=0),
    "data-marks": _data(marks=[1, 2, 3]),
    "data-no-marks": _data(marks=[]),
    "data-more": _data(more=1),
    "no-tensors": lambda metadata, tensors: tensors.clear(),
    "odd-name": _held(odd=torch.zeros(1)),
    "odd-kind": _held(**{"thing:a:b": torch.zeros(1)}),
    "odd-group": _held(**{"number:none:low": torch.zeros((), dtype=torch.float64)}),
    "odd-number": _held(**{"number:a:low": torch.zeros(3, dtype=torch.float64)}),
    "nan": _every(lambda value: torch.full_like(value, torch.nan)),
    "halves": _every(lambda value: value.half()),
}


def hostile_caches(good: Good) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of hostile caches."""
    with safe_open(str(good["cache"]), framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, change in CHANGES.items():
        said, held = dict(metadata), dict(tensors)
        change(said, held)
        yield f"cache-{name}", _written(held, {**said, "digest": _digest(said, held)})
    yield "cache-old-digest", _written(tensors, {**metadata, "progress": "{}"})
    yield "cache-empty", b""
    yield "cache-giant-header", b"\xff" * 8 + b"{}"
    yield "cache-pickle", b"\x80\x04N."
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 2**64 - 1]}})
    yield "cache-giant-tensor", len(header).to_bytes(8, "little") + header.encode()


def _written(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache"
        save_file(tensors, str(path), metadata)
        return path.read_bytes()
