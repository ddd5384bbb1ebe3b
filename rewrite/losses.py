"""What quantization costs, layer by layer: the numbers, and the override that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from rewrite.energies import Energies, candidates, decibel, worst_of
from rewrite.quantization.kinds import kind
from rewrite.quantization.layer_patterns import Names

KERNELS = ("conv", "conv-transpose", "linear", "matmul")
"""Kinds of calls that have a precision of their own."""
_MOST_SUGGESTED = 5
_WORTH_IT = 3.0
"""Overrides are suggested until the outputs are this much better, in dB."""


@dataclass
class Loss:
    """Energy of a signal and of the error on it, over all inputs."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, exact: torch.Tensor, actual: torch.Tensor) -> None:
        """Take one pair of tensors of the same shape."""
        exact, actual = exact.double(), actual.double()
        finite = torch.isfinite(exact) & torch.isfinite(actual)
        self.signal += float(exact[finite].square().sum())
        self.noise += float((exact[finite] - actual[finite]).square().sum())

    @property
    def db(self) -> float | None:
        """Signal to quantization noise ratio, None where nothing was compared or all is exact."""
        return decibel(self.signal, self.noise) if self.noise > 0 else None


@dataclass
class OutputLoss:
    """Error on the outputs of a program, each in shares of its own signal: the worst one counts.

    The noises of layers are taken to add up, so the worst outputs of several give an upper bound.
    """

    outputs: dict[str, Energies] = field(default_factory=dict)
    """By name, those of floating-point numbers: integers have no ratio."""

    def add(self, name: str, exact: torch.Tensor, actual: torch.Tensor) -> None:
        """Take one output of floating-point numbers, of one batch."""
        exact, actual = exact.double(), actual.double()
        finite = torch.isfinite(exact) & torch.isfinite(actual)
        self.outputs.setdefault(name, Energies()).add(exact[finite], actual[finite])

    def measure_against(self, total: OutputLoss) -> None:
        """Take the signals of another: a layer that loses nothing on a batch was not run there."""
        for name, each in self.outputs.items():
            each.signal = total.outputs[name].signal if name in total.outputs else each.signal

    @property
    def noise(self) -> float:
        """Energy of the error on the worst output, as a share of that output's signal."""
        deciding = candidates(self.outputs, {}).values()
        return max((each.share for each in deciding), default=0.0)

    @property
    def worst(self) -> str:
        """The output it is measured on, '' where there is one alone or nothing is lost."""
        return worst_of(candidates(self.outputs, {}))[0]

    @property
    def db(self) -> float | None:
        """Signal to quantization noise ratio, None where nothing was compared or all is exact."""
        return decibel(1.0, self.noise) if self.noise > 0 else None


@dataclass
class LayerLoss:
    """What the quantization of one call costs; ratios in dB, None where nothing is lost."""

    node: str
    kind: str
    layer: str
    """Module path, the weight's name or the call's."""
    where: str
    owner: str = ""
    """The call whose override decides: the one itself, or whose result it hands on."""
    pattern: str = ""
    """What an override names it by: the layer, or the call where the layer has several."""
    low_bits: bool = False
    """Whether its weight or what it reads has fewer than 8 bits."""
    eight: str = "w8a8"
    """The precision of 8 bits, as the pass that takes overrides spells it."""
    weight: Loss = field(default_factory=Loss)
    """Of its weight."""
    input: Loss = field(default_factory=Loss)
    """Of the activations it reads."""
    own: Loss = field(default_factory=Loss)
    """Of its result when what it reads is exact but for its own quantizers."""
    output: OutputLoss = field(default_factory=OutputLoss)
    """Of the program's outputs when it alone is quantized."""
    accumulated: Loss = field(default_factory=Loss)
    """Of its result when everything is quantized."""

    @property
    def override(self) -> str:
        """The precision that would end most of its loss, as an override."""
        return f"{self.pattern or self.layer}={self.eight if self.low_bits else 'float'}"

    def fit(self, names: Names) -> None:
        """Choose the pattern of an override that reaches this layer and no other one."""
        owner = self.owner or self.node
        reached = [call.name for call in names.matching(self.layer) if kind(call) in KERNELS]
        self.pattern = self.layer if set(reached) <= {owner} else owner

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `layers` in the command line's JSON."""
        return {
            "node": self.node,
            "kind": self.kind,
            "layer": self.layer,
            "where": self.where,
            "weight_db": self.weight.db,
            "input_db": self.input.db,
            "own_db": self.own.db,
            "output_db": self.output.db,
            "accumulated_db": self.accumulated.db,
            "override": self.override,
        }


@dataclass
class Inspection:
    """The losses of a quantized program, the layer that costs the outputs most first."""

    total: OutputLoss
    layers: list[LayerLoss]
    overridden: str | None = None
    """The pass whose option `override` sets the precision of a layer, if there is one."""

    def suggestion(self) -> tuple[list[str], float] | None:
        """Return overrides for the worst layers, and the dB to expect; None if nothing stands out.

        Errors of layers are taken for independent: their energies add.
        """
        if self.total.db is None or not self.layers:
            return None
        left = sum(layer.output.noise for layer in self.layers)
        everything, chosen = left, []
        for layer in self.layers[:_MOST_SUGGESTED]:
            left -= layer.output.noise
            chosen.append(layer.override)
            gain = 10 * math.log10(everything / max(left, 1e-300))
            if gain >= _WORTH_IT:
                return list(dict.fromkeys(chosen)), self.total.db + gain
        return None
