"""Deployment targets: what a runtime wants, as data read from TOML."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewrite.named_files import read_text
from rewrite.quantization.costs import CostTable
from rewrite.quantization.spec import QuantSpec

MODES = ("always", "join", "share", "follow", "skip", "table")
AVOIDABLE = (
    "size-moved-to-conv",
    "float-relu-behind-product",
    "product-read-twice",
    "float-weight-quantized",
    "quantizer-moved-past-pool",
    "zero-point-behind-concat",
    "quantizer-moved-past-output",
    "reshape-of-scales",
    "norm-of-integers",
    "gather-of-scales",
    "boolean-in-arithmetic",
    "gelu-of-near-factors",
    "products-of-one-feature",
    "channels-behind-reduction",
    "product-read-again",
    "cast-input-given-out",
    "flat-volume-of-one-channel",
    "quotient-by-reciprocal",
    "integers-divided-as-floats",
    "squeezed-pool",
    "product-without-bias",
    "silu-behind-dequantizer",
    "sixteen-bits-rounded",
)
"""Names of runtime faults; each is told where it is avoided, in `rewrite.lowering.steer`."""


@dataclass(frozen=True)
class OpRule:
    """How a target quantizes one kind of operator."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    """Spec name by ATen argument name."""
    output: str | None = None
    """Spec name of the result; None leaves it float."""
    mode: str = "always"
    """`always`; `join`: only between tensors that are quantized already; `share`: a layout
    operator whose result has its input's scale where a kernel follows, `follow`: everywhere;
    `skip`: an addition behind a layer, of which only the other side is quantized; `table`: the
    result has the scale of the first input, which is a weight."""
    least_channels: int = 0
    """Layers with fewer input or output channels stay float."""
    float_output: bool = False
    """Kernels give floats as well, so that what no int8 kernel reads is not quantized."""
    no_zero_point: bool = False
    """Calls whose first input may be negative stay float: unsigned integers need a zero point."""


@dataclass(frozen=True)
class Target:
    """What a runtime wants: dtypes, placement of Q/DQ, layouts and opset."""

    name: str
    summary: str = ""
    opset: int = 20
    opset_range: tuple[int, int] = (17, 21)
    runtimes: tuple[str, ...] = ("onnxruntime",)
    """Runtimes the artifact is run on after lowering; the first one decides."""
    machines: tuple[str, ...] = ()
    """Processors, as `platform.machine()` names them, that the file is for; empty is any."""
    specs: Mapping[str, QuantSpec] = field(default_factory=dict)
    ops: Mapping[str, OpRule] = field(default_factory=dict)
    """Rules by kind of operator; see `rewrite.quantization.kinds`."""
    producers: Mapping[str, str] = field(default_factory=dict)
    """Spec name for first inputs made by a kind of operator, over the consumer's own."""
    inputs: str | None = None
    """Spec name of the model's own inputs, quantized as they come; None leaves it to readers."""
    ends: Mapping[str, str] = field(default_factory=dict)
    """Spec name in the first and the last layer, by the one that it stands in for."""
    absorbs: tuple[str, ...] = ()
    """Kinds that disappear between an operator and the quantizer behind it."""
    fuses: tuple[str, ...] = ()
    """Kinds that the kernel in front of them computes in float, before it rounds its result."""
    avoids: tuple[str, ...] = ()
    """Known faults of a runtime to write the file around, of `AVOIDABLE`."""
    rules: tuple[str, ...] = ()
    """Ids of the rules, of `rewrite.lint`, that a file for it keeps."""
    bias: str = "int32"
    """`int32` at s_x·s_w, `int8` at a scale of its own, or `float32`."""
    prepare: tuple[str, ...] = ()
    """Passes that a preset gets besides its own, where it has one that they come before."""
    float16: str = "storage"
    """How far what stays float may be float16: `none`, `storage` (weights, cast to float32 where
    they are read), or `compute`."""
    legalize: tuple[str, ...] = ()
    """Passes that bring the program into the layout the runtime's kernels want."""
    costs: CostTable = field(default_factory=CostTable)
    """What kernels cost in float and in int8; empty quantizes whatever has a kernel."""
    extends: str = ""
    """Name of the target whose tables lie under its own."""
    source: str = ""
    tables: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The file as it was read; complete where nothing is inherited."""

    def carries(self, kind: str) -> bool:
        """Tell whether calls of a kind hand on integers without a layer of their own."""
        rule = self.ops.get(kind)
        if kind in self.absorbs or kind in self.fuses:
            return True
        return rule is not None and rule.mode != "always"

    @classmethod
    def parse(cls, text: str, source: str = "") -> Target:
        """Read a target from TOML text; one that extends another is complete once `resolved`.

        Raises:
            UsageError: for text that is no TOML, an unknown key or a dangling spec name.
        """
        from rewrite.target_file import read_tables, read_target

        data = read_tables(text, source)
        if "extends" not in data:
            return read_target(data, source)
        summary = data.get("summary", "")
        return cls(data["name"], summary, extends=data["extends"], source=source, tables=data)

    @classmethod
    def load(cls, path: Path) -> Target:
        """Read a target from a TOML file.

        Raises:
            UsageError: as `parse`, and for a file that cannot be read as text.
        """
        return cls.parse(read_text(path, "the target"), str(path))

    def resolved(self, known: Mapping[str, Target]) -> Target:
        """Return the target with all that it inherits.

        Args:
            known: the other targets by name.

        Raises:
            UsageError: naming the file, for an unknown base, a circle or a dangling name.
        """
        from rewrite.target_file import resolve

        return resolve(self, known)

    @property
    def fits_here(self) -> bool:
        """Whether the file is for processors like this machine's."""
        return not self.machines or platform.machine().lower() in self.machines

    def spec(self, name: str) -> QuantSpec:
        """Return a quantization spec by name, `NAME@BITS` for one of other bits."""
        base, _, bits = name.partition("@")
        return self.specs[base].with_bits(int(bits)) if bits else self.specs[base]
