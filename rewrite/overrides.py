"""A request with the precision of some of its layers changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rewrite.errors import UsageError
from rewrite.options import option_values
from rewrite.pass_spec import PassSpec
from rewrite.passes import Pass
from rewrite.program import Program
from rewrite.quantization.layer_patterns import Names
from rewrite.quantization.precision import Override
from rewrite.request import Request

OPTION = "override"
"""Option of a pass: `PATTERN=PRECISION` for some layers."""
SKIP = "skip"
"""Option of a pass that takes overrides: patterns of layers that stay float."""
_SLOWER = "slower"
"""Option of a pass that takes overrides: patterns of layers that were measured to be no faster."""
_PROFIT = "profit"
"""Option of a pass that takes overrides: whether the target's cost table has a say."""


class Overridable:
    """A request whose last pass that takes overrides can be given others.

    Raises:
        UsageError: when none of the passes takes any.
    """

    def __init__(self, request: Request, passes: Sequence[Pass]) -> None:
        takers = [index for index, p in enumerate(passes) if p.precisions]
        if not takers:
            raise UsageError(
                "none of the passes takes overrides, so there is nothing to choose",
                hint="--preset int8 or int4-weights, or one of their passes that quantize",
            )
        self.takers = [passes[index].name for index in takers]
        """Names of all passes that take overrides."""
        self.taker = passes[takers[-1]]
        """The one that is given them."""
        self._place = takers[-1]
        self._request = request
        self._specs = [PassSpec(p.name, dict(option_values(p))) for p in passes]
        self.before = tuple(passes[: self._place])
        """The passes that come before it."""

    @property
    def given(self) -> tuple[str, ...]:
        """The overrides of the user's own."""
        overrides: tuple[str, ...] = option_values(self.taker)[OPTION]
        return overrides

    def named_by(self, program: Program) -> set[str]:
        """Return the calls whose precision the user's own `override` and `skip` decide.

        Args:
            program: as the pass finds it, or with the same names of calls and weights.
        """
        named = [Override.parse(text) for text in self.given]
        named += [Override(pattern, None) for pattern in option_values(self.taker).get(SKIP, ())]
        names = Names(n for n in program.graph.nodes if n.op == "call_function")
        return {call.name for each in named for call in names.matching(each.pattern)}

    def request_without(self, slower: Sequence[str]) -> Request:
        """Return the request with some layers left float, as it was measured, not as costs say.

        Args:
            slower: patterns; where the user's own options name a layer, these have no say.
        """
        own = option_values(self.taker)
        table = {_PROFIT: False} if _PROFIT in own else {}
        if _SLOWER in own:
            return self._with({**table, _SLOWER: tuple(slower)})
        # The last override that fits a layer wins.
        first = [f"{pattern}=float" for pattern in slower]
        return self._with({**table, OPTION: (*first, *self.given)})

    def request_with(self, overrides: Sequence[str]) -> Request:
        """Return the request with these overrides, in place of the user's own."""
        return self._with({OPTION: tuple(overrides)})

    def _with(self, changed: dict[str, Any]) -> Request:
        specs = list(self._specs)
        options = {**specs[self._place].options, **changed}
        specs[self._place] = PassSpec(specs[self._place].name, options)
        return replace(self._request, passes=tuple(specs), preset=None)
