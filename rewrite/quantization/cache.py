"""The calibration cache: what calibrators have learnt so far, in one file, to go on from."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rewrite.descriptors import State
from rewrite.destination import replacing
from rewrite.errors import UsageError, first_line
from rewrite.named_files import require_plain
from rewrite.program import Program
from rewrite.quantization.data_digest import DataDigest, digest_value

_FORMAT = "rewrite calibration 3"
_OF_DATA = {each.name for each in fields(DataDigest)}
_PATIENCE = 20.0
"""A file is written when this many times its writing took has passed: 5 % of the time at most."""
_NAMES = {
    "program": "another program or other weights",
    "target": "another target",
    "method": "another method",
    "options": "other options",
    "data": "other calibration data",
}


@dataclass
class Progress:
    """How far a calibration has come."""

    batches: int = 0
    """How many were looked at."""
    data: DataDigest = field(default_factory=DataDigest)
    """Of these batches, where there is a cache."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Why some did not count, by their number."""
    tokens: int = 0
    padding: int = 0
    complete: bool = False
    chosen: dict[str, str] = field(default_factory=dict)
    """By which calibrator each tensor has its range, where there was a choice."""


class CalibrationCache:
    """A file with the progress and the states of one calibration.

    It is replaced as a whole, so that a killed run leaves the last one that was written.
    """

    def __init__(self, path: Path, fingerprint: dict[str, str]) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self._next = 0.0

    def load(self) -> tuple[Progress, dict[str, State]] | None:
        """Return the progress and the state of every tensor, None when there is no file.

        Raises:
            UsageError: when the file is damaged, or of another calibration; says what differs.
        """
        require_plain(self.path)
        if not self.path.exists():
            return None
        try:
            with safe_open(str(self.path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, RuntimeError, ValueError, MemoryError) as error:
            raise self._refused(f"cannot be read: {first_line(error)}") from None
        if metadata.get("format") != _FORMAT:
            raise self._refused("is no calibration cache of this version")
        if metadata.get("digest") != _digest(metadata, tensors):
            raise self._refused("is damaged")
        try:
            fingerprint = _texts(json.loads(metadata["fingerprint"]))
            progress = _progress(json.loads(metadata["progress"]))
            states = _nested(tensors)
        except (KeyError, ValueError, RecursionError):
            raise self._refused("is damaged: something in it has another type") from None
        self._compare(fingerprint)
        return progress, states

    def save(self, progress: Progress, states: dict[str, State]) -> None:
        """Write the file, and put it in place of the one before.

        Raises:
            UsageError: when the disk does not take it.
        """
        started = time.monotonic()
        metadata = {
            "format": _FORMAT,
            "fingerprint": json.dumps(self.fingerprint),
            "progress": json.dumps(asdict(progress)),
        }
        tensors = _flat(states)
        metadata["digest"] = _digest(metadata, tensors)
        with replacing(self.path) as partial:
            try:
                save_file(tensors, str(partial), metadata)
            except SafetensorError as error:
                # It tells of a full disk in words of its own.
                raise UsageError(
                    f"cannot write the calibration cache '{self.path}': {first_line(error)}",
                    hint="make room, or leave out --calibration-cache",
                ) from None
        now = time.monotonic()
        self._next = now + _PATIENCE * (now - started)

    def is_due(self) -> bool:
        """Tell whether it is time to write again."""
        return time.monotonic() >= self._next

    def other_data(self, why: str) -> UsageError:
        """Return the error for data that are not those that were counted."""
        return self._refused(f"is of {_NAMES['data']}: {why}")

    def other_states(self) -> UsageError:
        """Return the error for states that the calibrators cannot go on from."""
        return self._refused("does not hold what the calibrators learn")

    def _compare(self, found: dict[str, str]) -> None:
        for key, name in _NAMES.items():
            was, now = found.get(key, ""), self.fingerprint.get(key, "")
            if was == now:
                continue
            told = f": {was}, now {now}" if key in ("method", "options") else ""
            raise self._refused(f"is of {name}{told}")

    def _refused(self, why: str) -> UsageError:
        return UsageError(
            f"the calibration cache '{self.path}' {why}",
            hint=f"delete it, or give another name: rm {self.path}",
        )


def program_digest(program: Program) -> str:
    """Return a digest of a program's text and of every weight it reads."""
    digest = hashlib.sha256(program.text().encode())
    for name, tensor in program.used_weights():
        digest.update(name.encode())
        digest_value(digest, tensor)
    return digest.hexdigest()


def _flat(states: dict[str, State]) -> dict[str, torch.Tensor]:
    """Name each value `kind:group:key`; a number becomes a float64 tensor of no dimension."""
    made = {}
    for group, state in states.items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                made[f"tensor:{group}:{key}"] = value.detach().cpu().contiguous()
            else:
                made[f"number:{group}:{key}"] = torch.tensor(float(value), dtype=torch.float64)
    return made


def _nested(tensors: dict[str, torch.Tensor]) -> dict[str, State]:
    """Undo `_flat`; raises ValueError for names and numbers that it does not make."""
    states: dict[str, State] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(":")
        group, _, key = rest.rpartition(":")
        if kind not in ("number", "tensor") or not group:
            raise ValueError(name)
        if kind == "number" and (tensor.dim() or tensor.dtype != torch.float64):
            raise ValueError(name)
        value: Any = float(tensor) if kind == "number" else tensor
        states.setdefault(group, {})[key] = value
    return states


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a digest of everything in a cache."""
    digest = hashlib.sha256()
    for key in ("format", "fingerprint", "progress"):
        digest.update(f"{key} {metadata.get(key)}\n".encode())
    for name in sorted(tensors):
        digest.update(f"{name}\n".encode())
        digest_value(digest, tensors[name])
    return digest.hexdigest()


def _progress(read: Any) -> Progress:
    """Return the progress of a cache; raises ValueError for values of another type."""
    wanted = {each.name for each in fields(Progress)}
    if not isinstance(read, dict) or set(read) != wanted or not isinstance(read["data"], dict):
        raise ValueError("progress")
    data = read["data"]
    typed = all(_is_count(read[key]) for key in ("batches", "tokens", "padding"))
    typed = typed and type(read["complete"]) is bool and set(data) == _OF_DATA
    typed = typed and _is_count(data["batches"]) and type(data["step"]) is int and data["step"] > 0
    marks: Any = data.get("marks")
    typed = typed and isinstance(data["last"], str) and isinstance(marks, list)
    if not typed or len(marks) != data["batches"] // data["step"]:
        raise ValueError("progress")
    _texts(dict(enumerate(marks)))
    progress = Progress(**{**read, "data": DataDigest(**data)})
    _texts(progress.left_out)
    _texts(progress.chosen)
    return progress


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _texts(table: Any) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
        raise ValueError("no table of text")
    return table
