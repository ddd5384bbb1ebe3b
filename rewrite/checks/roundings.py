"""Values that are nothing but rounding: the mean of numbers that cancel, the spread of equal ones.

No two libraries agree on them in float32, and beside a part of an output that is such a value every
other one is infinitely far away. A difference that the program itself makes when its calls round
otherwise is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rewrite.draws import Inputs
from rewrite.inputs import copied
from rewrite.interpret import Interpreter
from rewrite.program import Program
from rewrite.undecided import put_back, spread

MOST = 0.5
"""Of the values of an output: where rounding decides more, the output says nothing."""
_LOST = 1e-4
"""Of a value: what rounding moves so far has hardly a digit left."""
_RUNS = 8
_NUDGE = 2.0**-23
"""Relative: what float32 rounds off, at most."""

Pair = tuple[Tensor, Tensor]


class Roundings:
    """What a float program gives where its calls round in other ways."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def settle(
        self,
        inputs: Inputs,
        outputs: Mapping[str, Pair],
        simulated: Sequence[Any] | None = None,
    ) -> tuple[dict[str, Pair], int]:
        """Put what was expected in the place of differences that rounding explains.

        Args:
            inputs: what all was computed on.
            outputs: (expected, actual) by name, expected of the program or of the model.
            simulated: the flat outputs of the program, computed if they are not given.

        Returns:
            The outputs to compare instead, and how many values were replaced.
        """
        if simulated is None:
            simulated = Interpreter(self._program).run_inputs(*copied(inputs))
        runs = [_Rounded(self._program, n).run_inputs(*copied(inputs)) for n in range(_RUNS)]
        names = self._program.signature.output_names
        reached = dict(zip(names, spread(simulated, runs), strict=True))
        settled, count = {}, 0
        for name, (expected, actual) in outputs.items():
            settled[name] = expected, actual
            reach = reached.get(name)
            if reach is None or reach.shape != actual.shape or not actual.is_floating_point():
                continue
            # What has digits that agree is compared.
            lost = reach > _LOST * expected.abs()
            kept, replaced = put_back(expected, actual, torch.where(lost, reach, 0.0))
            if replaced <= MOST * actual.numel():
                settled[name], count = (expected, kept), count + replaced
        return settled, count


class _Rounded(Interpreter):
    """Evaluates a program as if every call rounded its floats in some other way."""

    def __init__(self, program: Program, seed: int) -> None:
        super().__init__(program)
        self._generator = torch.Generator().manual_seed(seed)

    def call(self, overload: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Evaluate one call, and change the last digits of what it computes."""
        result = super().call(overload, args, kwargs)
        schema = getattr(overload, "_schema", None)
        # What shares memory with an argument is a view: it computes nothing.
        alone = schema is not None and all(each.alias_info is None for each in schema.returns)
        return pytree.tree_map(self._nudge, result) if alone else result

    def _nudge(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype not in (torch.float32, torch.float64):
            return value
        noise = torch.randn(value.shape, generator=self._generator).to(value.device)
        return value * (1 + _NUDGE * noise)
