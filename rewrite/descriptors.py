"""What hooks yield, besides passes and targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch

    from rewrite.passes import Outcome, Pass
    from rewrite.program import Program

Run = Callable[..., Any]
State = dict[str, Any]
"""What a calibrator has learnt: tensors and numbers by name."""


@dataclass(frozen=True)
class Preset:
    """A named set of passes; the pipeline orders it by `requires`, `after` and `before`."""

    name: str
    passes: tuple[str, ...]
    summary: str = ""


@dataclass(frozen=True)
class Model:
    """A model with everything the compiler needs to know of it, as in a model file."""

    name: str
    model: Callable[[], torch.nn.Module]
    inputs: Callable[[], Any]
    """Return the example inputs: a tuple of positional or a dict of keyword arguments."""
    dynamic_shapes: Any = None
    """As `torch.export.export` takes it."""
    calibration: Callable[[], Iterable[Any]] | None = None
    evaluate: Callable[[Run], dict[str, float]] | None = None
    summary: str = ""
    source: str = ""
    """Where architecture and data come from."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What `evaluate` gave on the held-out split when the checkpoint was made."""
    size_bytes: int = 0
    """Size of the checkpoint on disk."""


@dataclass(frozen=True)
class Lowering:
    """The ONNX translation of one operator overload."""

    overload: torch._ops.OpOverload
    translate: Callable[..., Any]
    targets: tuple[str, ...] = ()
    """Targets it serves; empty means all."""


class Calibrator(ABC):
    """Estimates the range of one activation from batches, without keeping them.

    A constructor takes nothing, or by name any of: `spec`, how the tensor will be quantized, and
    the options of the pass `calibrate`, such as `percentile`.
    """

    name: ClassVar[str]

    @abstractmethod
    def observe(self, values: torch.Tensor) -> None:
        """Take one batch of finite float values, of any shape, on any device; never write to it."""

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Return the (low, high) range to represent."""

    def candidates(self) -> dict[str, tuple[float, float]]:
        """Return ranges by name; the one with the least error behind the tensor is taken."""
        return {self.name: self.bounds()}

    def state(self) -> State:
        """Return a copy of what was learnt so far; what a calibration cache keeps."""
        raise NotImplementedError

    def load_state(self, state: State) -> None:
        """Go on from what `state` returned, bit for bit."""
        raise NotImplementedError

    def merge(self, other: Calibrator) -> None:
        """Add what another of the same class has seen, as if its batches came after one's own."""
        raise NotImplementedError


class PassObserver:
    """Is told before and after every pass; may look, must not edit."""

    name: ClassVar[str] = "observer"

    def before_pass(self, pass_: Pass, program: Program) -> None:
        """Called with the program the pass is about to work on."""

    def after_pass(self, pass_: Pass, program: Program, outcome: Outcome) -> None:
        """Called with the program the pass has produced, after its check."""
