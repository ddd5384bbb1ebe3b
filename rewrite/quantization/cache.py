"""The calibration cache: what calibrators have learnt so far, in one file, to go on from."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rewrite.descriptors import State
from rewrite.errors import UsageError
from rewrite.program import Program
from rewrite.quantization.data_digest import DataDigest, digest_value

_FORMAT = "rewrite calibration 2"
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
        if not self.path.exists():
            return None
        try:
            with safe_open(str(self.path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise self._refused(f"cannot be read: {error}") from None
        if metadata.get("format") != _FORMAT:
            raise self._refused("is no calibration cache of this version")
        self._compare(json.loads(metadata["fingerprint"]))
        progress = json.loads(metadata["progress"])
        data = DataDigest(**progress.pop("data"))
        return Progress(data=data, **progress), _nested(tensors)

    def save(self, progress: Progress, states: dict[str, State]) -> None:
        """Write the file, and put it in place of the one before."""
        started = time.monotonic()
        metadata = {
            "format": _FORMAT,
            "fingerprint": json.dumps(self.fingerprint),
            "progress": json.dumps(asdict(progress)),
        }
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            save_file(_flat(states), str(partial), metadata)
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)
        now = time.monotonic()
        self._next = now + _PATIENCE * (now - started)

    def is_due(self) -> bool:
        """Tell whether it is time to write again."""
        return time.monotonic() >= self._next

    def other_data(self, why: str) -> UsageError:
        """Return the error for data that are not those that were counted."""
        return self._refused(f"is of {_NAMES['data']}: {why}")

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
    states: dict[str, State] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(":")
        group, _, key = rest.rpartition(":")
        value: Any = float(tensor) if kind == "number" else tensor
        states.setdefault(group, {})[key] = value
    return states
