"""Deployment targets: what a runtime wants, as data read from TOML."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewrite.errors import UsageError, unknown
from rewrite.quantization.spec import QuantSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MODES = ("always", "join", "share")
AVOIDABLE = ("size-moved-to-conv", "float-relu-behind-product", "product-read-twice")
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
    operator whose result has its input's scale."""


@dataclass(frozen=True)
class Target:
    """What a runtime wants: dtypes, placement of Q/DQ, layouts and opset."""

    name: str
    summary: str = ""
    opset: int = 20
    opset_range: tuple[int, int] = (17, 21)
    runtimes: tuple[str, ...] = ("onnxruntime",)
    """Runtimes the artifact is run on after lowering; the first one decides."""
    specs: Mapping[str, QuantSpec] = field(default_factory=dict)
    ops: Mapping[str, OpRule] = field(default_factory=dict)
    """Rules by kind of operator; see `rewrite.quantization.kinds`."""
    producers: Mapping[str, str] = field(default_factory=dict)
    """Spec name for inputs made by a kind of operator, over the consumer's own."""
    absorbs: tuple[str, ...] = ()
    """Kinds that disappear between an operator and the quantizer behind it."""
    avoids: tuple[str, ...] = ()
    """Known faults of a runtime to write the file around, of `AVOIDABLE`."""
    bias: str = "int32"
    """`int32` at s_x·s_w, or `float32`."""
    legalize: tuple[str, ...] = ()
    """Passes that bring the program into the layout the runtime's kernels want."""
    source: str = ""

    @classmethod
    def parse(cls, text: str, source: str = "") -> Target:
        """Read a target from TOML text.

        Raises:
            UsageError: for text that is no TOML, an unknown key or a dangling spec name.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"the target is not valid TOML: {error}", where=source) from None
        return _Reader(data, source).target()

    @classmethod
    def load(cls, path: Path) -> Target:
        """Read a target from a TOML file."""
        return cls.parse(path.read_text(encoding="utf-8"), str(path))

    def spec(self, name: str) -> QuantSpec:
        """Return a quantization spec by name, `NAME@BITS` for one of other bits."""
        base, _, bits = name.partition("@")
        return self.specs[base].with_bits(int(bits)) if bits else self.specs[base]


_KEYS = {
    "name",
    "summary",
    "opset",
    "opset-range",
    "runtimes",
    "bias",
    "legalize",
    "absorbs",
    "avoids",
    "spec",
    "op",
    "producer",
}


@dataclass(frozen=True)
class _Reader:
    data: dict[str, Any]
    source: str

    def target(self) -> Target:
        data = self.data
        for key in data:
            if key not in _KEYS:
                raise unknown("key of a target", key, _KEYS, where=self.source)
        if "name" not in data:
            raise UsageError("a target needs a name", where=self.source)
        specs = {n: QuantSpec.from_data(n, d, self.source) for n, d in data.get("spec", {}).items()}
        ops = {kind: self._rule(kind, rule, specs) for kind, rule in data.get("op", {}).items()}
        producers = dict(data.get("producer", {}))
        for name in producers.values():
            self._known(name, specs)
        for fault in data.get("avoids", ()):
            if fault not in AVOIDABLE:
                raise unknown("fault to avoid", fault, AVOIDABLE, where=self.source)
        low, high = data.get("opset-range", (17, 21))
        return Target(
            name=data["name"],
            summary=data.get("summary", ""),
            opset=data.get("opset", 20),
            opset_range=(low, high),
            runtimes=tuple(data.get("runtimes", ("onnxruntime",))),
            specs=specs,
            ops=ops,
            producers=producers,
            absorbs=tuple(data.get("absorbs", ())),
            avoids=tuple(data.get("avoids", ())),
            bias=data.get("bias", "int32"),
            legalize=tuple(data.get("legalize", ())),
            source=self.source,
        )

    def _rule(self, kind: str, rule: dict[str, Any], specs: Mapping[str, QuantSpec]) -> OpRule:
        for key in rule:
            if key not in ("inputs", "output", "mode"):
                raise unknown(f"key of [op.{kind}]", key, ("inputs", "output", "mode"))
        mode = rule.get("mode", "always")
        if mode not in MODES:
            raise unknown(f"mode of [op.{kind}]", mode, MODES, where=self.source)
        inputs, output = dict(rule.get("inputs", {})), rule.get("output")
        for name in [*inputs.values(), *([output] if output else [])]:
            self._known(name, specs)
        return OpRule(inputs, output, mode)

    def _known(self, name: str, specs: Mapping[str, QuantSpec]) -> None:
        if name not in specs:
            raise unknown("quantization spec", name, specs, where=self.source)
