"""What to compile, and what came out of it."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rewrite.artifact import Artifact
    from rewrite.descriptors import Model as ModelDescription
    from rewrite.equivalence import Difference
    from rewrite.pass_spec import PassSpec
    from rewrite.passes import Pass
    from rewrite.pipeline import PassReport
    from rewrite.program import Program

LARGEST_SEED = 2**32 - 1
"""Of numpy; torch and Python take larger ones."""
DEFAULT_TARGET = "portable"
DEFAULT_PRESET = "float"
Checks = Literal["strict", "report", "off"]


@dataclass(frozen=True)
class CalibrationData:
    """Calibration data in place of the model's own."""

    path: str
    """An `.npz` file, a folder of `.npy` files or of images, or `zoo:NAME`."""
    image_size: tuple[int, int] | None = None
    """Height and width that images are resized to; None for the example's."""
    mean: tuple[float, ...] = ()
    """Taken from images in [0, 1], one number or one for each channel."""
    std: tuple[float, ...] = ()
    """What the rest is divided by."""

    @property
    def image_options(self) -> list[str]:
        """Names of the options given that only images have a use for."""
        given = {"--image-size": self.image_size, "--mean": self.mean, "--std": self.std}
        return [name for name, value in given.items() if value]


@dataclass(frozen=True)
class Request:
    """What to compile, and how."""

    model: str
    passes: tuple[PassSpec, ...] | None = None
    """In this order; an empty tuple runs none, None leaves it to the preset."""
    preset: str | None = None
    target: str = DEFAULT_TARGET
    output: Path | None = None
    """`.onnx` or `.pt2`; None compiles without writing anything."""
    opset: int | None = None
    seed: int = 0
    device: str = "cpu"
    calibration: CalibrationData | None = None
    """None for the model's own."""
    calibration_cache: Path | None = None
    """Where calibration goes on when it was stopped."""
    threads: int = 0
    """For torch and the runtimes; 0 leaves the number to them."""
    checks: Checks = "strict"
    min_sqnr: float | None = None
    """Smallest agreement of the file with the eager model, in dB; None chooses by its types."""
    runtimes: tuple[str, ...] | None = None
    """Those that must run the file and agree; None for all of the target."""
    require_int8: float | None = None
    """Smallest share, in %, that must run in int8 of all nodes that read weights or integers."""
    evaluate: bool = True
    fix: Mapping[str, int] = field(default_factory=dict)
    """Sizes of dynamic dimensions, by name."""
    static: bool = False
    """Fix the other dynamic dimensions to the sizes of the example inputs."""
    latency: bool = False
    """Also lower the float program and time both files."""


@dataclass
class Result:
    """Everything a compilation found out."""

    model: str
    target: str
    reports: list[PassReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What the user should know, in the order in which it was found."""
    legalizations: list[PassReport] = field(default_factory=list)
    """Of the passes that brought the program into the target's layout."""
    loss: Difference | None = None
    """Float64 outputs of the program against the model's; None unless checked and changed."""
    passes: list[Pass] = field(default_factory=list)
    description: ModelDescription | None = None
    """The model as it was run: with the calibration data and the sizes that were asked for."""
    captured: Program | None = None
    program: Program | None = None
    artifact: Artifact | None = None
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    opset: int = 0
    seed: int = 0
    fixed: dict[str, int] = field(default_factory=dict)
    """Sizes of dynamic dimensions that were fixed, by name."""

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        artifact = self.artifact
        metrics = {k: self.metrics.get(k, {}) for k in ("eager", "program", "deployed")}
        return {
            "model": self.model,
            "target": self.target,
            "fixed": self.fixed,
            "passes": [r.as_json() for r in self.reports],
            "legalize": [r.as_json() for r in self.legalizations],
            "warnings": list(self.warnings),
            "loss": self.loss.as_json() if self.loss else None,
            "artifact": artifact.describe() if artifact else None,
            "metrics": metrics,
            "agreement": artifact.agreement_json() if artifact else None,
            "int8": artifact.int8_json() if artifact else None,
            "runtimes": artifact.runtimes_json() if artifact else {},
            "latency_ms": artifact.latency if artifact else {"float": None, "deployed": None},
            "latency_spread_ms": artifact.spread if artifact else {},
            "seconds": round(self.seconds, 3),
            "peak_rss_mb": round(peak_rss_mb(), 1),
        }


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux counts what the process was before it became Python into ru_maxrss.
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found.group(1)) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024) if sys.platform == "darwin" else peak / 1024
