"""What one family says of itself: how to build it, which task it does, how it was trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from rewrite.descriptors import Model

from . import checkpoints

Inputs = tuple[torch.Tensor, ...]
Run = Callable[..., Any]


class Task(Protocol):
    """Data and metric of a task; a module with these functions is one."""

    def inputs(self) -> Inputs:
        """Return a small example batch from the training split."""

    def calibration(self) -> Iterator[Inputs]:
        """Yield batches of the training split, alike in structure to `inputs`."""

    def evaluate(self, run: Run) -> dict[str, float]:
        """Run the whole held-out split through `run(*inputs)`."""

    def baseline(self) -> dict[str, float]:
        """Return what the best constant answer scores in `evaluate`."""

    def training_batches(self, size: int, seed: int) -> Iterator[tuple[Inputs, torch.Tensor]]:
        """Yield (inputs, targets) without end; a target of -100 is not scored."""


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint was trained: AdamW with a one-cycle learning rate."""

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Family:
    """An architecture trained on a task."""

    name: str
    build: Callable[[], torch.nn.Module]
    """Return the untrained module."""
    task: Task
    dynamic_shapes: dict[str, Any]
    recipe: Recipe
    summary: str
    source: str

    def load(self) -> torch.nn.Module:
        """Return the trained module in eval mode; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            module = self.build()
        checkpoints.load(self.name, module)
        return module.eval()

    def descriptor(self) -> Model:
        """Return what the compiler needs to know."""
        return Model(
            name=self.name,
            model=self.load,
            inputs=self.task.inputs,
            dynamic_shapes=self.dynamic_shapes,
            calibration=self.task.calibration,
            evaluate=self.task.evaluate,
            summary=self.summary,
            source=self.source,
            metrics=checkpoints.record(self.name).get("metrics", {}),
            size_bytes=checkpoints.size(self.name),
        )
