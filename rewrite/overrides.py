"""A request with the precision of some of its layers changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rewrite.errors import UsageError
from rewrite.options import option_values
from rewrite.pass_spec import PassSpec
from rewrite.passes import Pass
from rewrite.request import Request

OPTION = "override"
"""Option of a pass: `PATTERN=PRECISION` for some layers."""


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

    @property
    def given(self) -> tuple[str, ...]:
        """The overrides of the user's own."""
        overrides: tuple[str, ...] = option_values(self.taker)[OPTION]
        return overrides

    def request_with(self, overrides: Sequence[str]) -> Request:
        """Return the request with these overrides, in place of the user's own."""
        specs = list(self._specs)
        options = {**specs[self._place].options, OPTION: tuple(overrides)}
        specs[self._place] = PassSpec(specs[self._place].name, options)  # type: ignore[arg-type]
        return replace(self._request, passes=tuple(specs), preset=None)
