"""What one quantized tensor looks like, and the scale that fits a range into it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from rewrite.errors import UsageError, unknown

DTYPES = {
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "uint16": torch.uint16,
    "int32": torch.int32,
}
BITS = (2, 3, 4, 5, 6, 7, 8, 16)
"""Numbers of bits; runtimes have no kernel that clips 16-bit integers to fewer."""
MIN_SCALE = float(torch.finfo(torch.float32).tiny)
"""Scales stay normal numbers: runtimes flush denormals to zero and divide by them."""


@dataclass(frozen=True)
class QuantSpec:
    """One way to quantize a tensor: q = saturate(round(x / scale) + zero_point).

    Rounding is half to even, saturation to [qmin, qmax], as ONNX QuantizeLinear.
    """

    name: str
    dtype: str = "uint8"
    qmin: int = 0
    qmax: int = 255
    symmetric: bool = False
    """Zero point in the middle of the type: 0 for signed, half the range for unsigned."""
    per_channel: bool = False
    alike: bool = False
    """With `per_channel`: every channel gets the scale of the widest."""
    scale: float | None = None
    """A fixed scale, for tensors whose range is known beforehand (softmax)."""
    zero_point: int = 0
    """Zero point that goes with a fixed scale."""
    power_of_two: bool = False
    """Scales are powers of two, the next one up, so that nothing clips that did not."""
    least_range: float = 0.0
    """Ranges narrower than this are widened to it."""
    clips: bool = True
    """Whether calibrators may leave out the ends of what they saw."""
    fixed_bits: bool = False
    """The number of bits stays as it is where a pass asks for another."""

    def with_bits(self, bits: int) -> QuantSpec:
        """Return the spec of fewer or more bits, over the same range where that is fixed.

        Fewer than 8 live in the 8-bit type, clipped.

        Args:
            bits: one of `BITS`.

        Raises:
            UsageError: for another number of bits.
        """
        if bits not in BITS:
            raise UsageError(f"there is no quantizer of {bits} bits", hint="use 2 to 8, or 16")
        if self.fixed_bits:
            return self
        signed = self.dtype.startswith("int")
        half = 2 ** (bits - 1)
        is_narrow = signed and self.qmin == -self.qmax
        low, high = (-half + is_narrow, half - 1) if signed else (0, 2**bits - 1)
        width = 8 if bits <= 8 else 16
        return dataclasses.replace(
            self,
            name=f"{self.name}@{bits}",
            dtype=f"{'int' if signed else 'uint'}{width}",
            qmin=low,
            qmax=high,
            scale=self._rescaled(low, high),
            zero_point=self._moved(low, high),
        )

    def _rescaled(self, low: int, high: int) -> float | None:
        """Return the fixed scale that covers the same range with [low, high]."""
        if self.scale is None:
            return None
        if math.frexp(self.scale)[0] == 0.5:
            # 1/256 stands for [0, 1), and a power of two stays one: 1/65536.
            return self.scale * 2.0 ** (_bits(self.qmin, self.qmax) - _bits(low, high))
        return self.scale * (self.qmax - self.qmin) / (high - low)

    def _moved(self, low: int, high: int) -> int:
        """Return the fixed zero point where it was in [qmin, qmax]: at an end, or in between."""
        if self.zero_point in (self.qmin, self.qmax):
            return low if self.zero_point == self.qmin else high
        factor = 2.0 ** (_bits(low, high) - _bits(self.qmin, self.qmax))
        return min(max(round(self.zero_point * factor), low), high)

    def serves(self, other: QuantSpec) -> bool:
        """Tell whether a tensor of this spec can be read where another one is wanted.

        It can where both give the same integers, and where they differ by a scale that is fixed.
        """
        calibrated = ("name", "scale", "zero_point", "least_range", "clips")
        same = {f: getattr(other, f) for f in calibrated}
        return self == other or (self.is_fixed and dataclasses.replace(self, **same) == other)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The integer type that holds the values."""
        return DTYPES[self.dtype]

    @property
    def is_fixed(self) -> bool:
        """Whether the scale needs no calibration."""
        return self.scale is not None

    @classmethod
    def from_data(cls, name: str, data: dict[str, Any], source: str) -> QuantSpec:
        """Read a spec from a TOML table."""
        keys = {f.name.replace("_", "-") for f in dataclasses.fields(cls)} - {"name"}
        for key in data:
            if key not in keys | {"range"}:
                raise unknown(f"key of [spec.{name}]", key, keys | {"range"}, where=source)
        dtype = data.get("dtype", "uint8")
        if dtype not in DTYPES:
            raise unknown("quantized dtype", dtype, DTYPES, where=source)
        info = torch.iinfo(DTYPES[dtype])
        low, high = data.get("range", (info.min, info.max))
        _check_range(f"[spec.{name}] ", dtype, (low, high), source)
        _check_fixed(name, data, (low, high), source)
        scale, power_of_two = data.get("scale"), bool(data.get("power-of-two", False))
        return cls(
            name=name,
            dtype=dtype,
            qmin=low,
            qmax=high,
            symmetric=bool(data.get("symmetric", False)),
            per_channel=bool(data.get("per-channel", False)),
            alike=bool(data.get("alike", False)),
            scale=scale,
            zero_point=data.get("zero-point", 0),
            power_of_two=power_of_two,
            least_range=float(data.get("least-range", 0.0)),
            clips=bool(data.get("clips", True)),
            fixed_bits=bool(data.get("fixed-bits", False)),
        )

    @classmethod
    def fields_of(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return what keys of a TOML table set, by the fields of a spec."""
        found: dict[str, Any] = {}
        for key, value in data.items():
            if key == "range":
                found["qmin"], found["qmax"] = value
            else:
                found[key.replace("-", "_")] = value
        return found

    def changed(self, data: Mapping[str, Any], source: str) -> QuantSpec:
        """Return the spec with what keys of a TOML table set.

        Another type comes with all its integers, unless the table says which.

        Raises:
            UsageError: for a range that the type does not hold.
        """
        changes = self.fields_of(data)
        info = torch.iinfo(DTYPES[changes.get("dtype", self.dtype)])
        if changes.get("dtype", self.dtype) != self.dtype:
            changes = {"qmin": info.min, "qmax": info.max, **changes}
        made = dataclasses.replace(self, **changes)
        _check_range("", made.dtype, (made.qmin, made.qmax), source)
        return made

    def parameters(
        self, low: torch.Tensor, high: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (scale, zero_point) that represent [low, high], zero always exactly.

        Args:
            low: smallest values, float, any shape.
            high: largest values, same shape.
        """
        if self.alike and low.dim():
            low, high = low.amin().expand_as(low), high.amax().expand_as(high)
        low = torch.minimum(low.double(), torch.zeros(()).double())
        high = torch.maximum(high.double(), torch.zeros(()).double())
        high = torch.maximum(high, low + self.least_range)
        middle = 0 if self.qmin < 0 else (self.qmin + self.qmax + 1) // 2
        if self.symmetric:
            steps = torch.tensor(float(min(self.qmax - middle, middle - self.qmin)))
            scale = self.allowed(torch.maximum(high, -low) / steps)
            zero_point = torch.full_like(scale, float(middle))
        else:
            scale = self.allowed((high - low) / (self.qmax - self.qmin))
            safe = torch.where(scale > 0, scale, torch.ones_like(scale))
            zero_point = (self.qmin - low / safe).round().clamp(self.qmin, self.qmax)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale)).float()
        scale = scale.clamp(min=MIN_SCALE)
        return scale, zero_point.to(self.torch_dtype)

    def allowed(self, scale: torch.Tensor) -> torch.Tensor:
        """Return a scale that the spec allows and that is no smaller; 0 stays 0."""
        if not self.power_of_two:
            return scale
        # s = m·2^e with m in [0.5, 1), so the next power of two is 2^(e-1) for m = 0.5, else 2^e.
        mantissa, exponent = torch.frexp(scale)
        return torch.where(
            mantissa == 0, scale, torch.ldexp((mantissa > 0.5) * 0.5 + 0.5, exponent)
        )


def _check_range(table: str, dtype: str, ends: tuple[int, int], source: str) -> None:
    (low, high), info = ends, torch.iinfo(DTYPES[dtype])
    if info.min <= low < high <= info.max:
        return
    hint = f"{dtype} holds {info.min} to {info.max}, and low comes before high"
    if info.min <= high < low <= info.max:
        hint = f"range = [{high}, {low}]"
    raise UsageError(f"{table}range [{low}, {high}] does not fit {dtype}", where=source, hint=hint)


def _check_fixed(name: str, data: Mapping[str, Any], ends: tuple[int, int], source: str) -> None:
    """Hold the numbers that a table fixes to what quantizers take.

    Raises:
        UsageError: for a scale that is not positive, or no power of two where that is asked for, a
            zero point out of the range, a negative least range, and the ends of a range by name.
    """
    scale, point, least = data.get("scale"), data.get("zero-point", 0), data.get("least-range", 0.0)
    what, hint = "", None
    end = next((key for key in ("qmin", "qmax") if key in data), "")
    if end:
        what, hint = f"{end} is set by range", "range = [low, high]"
    elif scale is not None and not (scale > 0 and math.isfinite(scale)):
        what, hint = f"scale is {scale:g}", "scales are positive"
    elif scale is not None and data.get("power-of-two") and math.frexp(scale)[0] != 0.5:
        what = f"scale {scale:g} is no power of two"
    elif (scale is not None or "zero-point" in data) and not ends[0] <= point <= ends[1]:
        what, hint = f"zero-point is {point}", f"it lies in the range, {ends[0]} to {ends[1]}"
    elif not (least >= 0 and math.isfinite(least)):
        what, hint = f"least-range is {least:g}", "a range is 0 or wider"
    if what:
        raise UsageError(f"[spec.{name}] {what}", where=source, hint=hint)


def _bits(low: int, high: int) -> int:
    return (high - low).bit_length()
