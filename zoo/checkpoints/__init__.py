"""Trained weights (NAME.safetensors) and what they were measured to do (metrics.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).parent
METRICS = FOLDER / "metrics.json"


def path(name: str) -> Path:
    """Return where the weights of `name` are kept."""
    return FOLDER / f"{name}.safetensors"


def size(name: str) -> int:
    """Return the bytes of the weights on disk, 0 before the first training."""
    return path(name).stat().st_size if path(name).exists() else 0


def load(name: str, module: torch.nn.Module) -> None:
    """Copy the stored weights into `module`, in its own precision."""
    from safetensors.torch import load_model

    load_model(module, path(name))


def save(name: str, module: torch.nn.Module) -> None:
    """Store parameters and buffers: matrices and kernels as float16, vectors as they are.

    A tied weight is stored once. Vectors hold biases and statistics, whose range float16 may lack.
    """
    import torch
    from safetensors.torch import save as serialize

    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    stored = {
        key: (value.to(torch.float16) if value.ndim > 1 else value).detach().contiguous()
        for key, value in tensors.items()
    }
    path(name).write_bytes(serialize(stored))


def records() -> dict[str, dict[str, Any]]:
    """Return the records of all models."""
    if not METRICS.exists():
        return {}
    return json.loads(METRICS.read_text(encoding="utf-8"))


def record(name: str) -> dict[str, Any]:
    """Return the record of one model, empty before the first training."""
    return records().get(name, {})


def write_record(name: str, entry: dict[str, Any]) -> None:
    """Replace the record of one model."""
    entries = {**records(), name: entry}
    METRICS.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
