"""Mixed precision: the layers that cost the outputs most get more bits until a budget is met."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rewrite.errors import CheckError, UsageError
from rewrite.inspection import NotQuantizedError, inspect_model
from rewrite.losses import Inspection, LayerLoss
from rewrite.options import describe_options, option_values
from rewrite.pass_spec import PassSpec
from rewrite.passes import Pass
from rewrite.plugin_host import PluginHost
from rewrite.request import Request
from rewrite.talk import Talk

_MOST_ROUNDS = 6
_OPTION = "override"
"""Option of the pass that quantizes: `PATTERN=PRECISION` for some layers."""
_MARGIN = 0.5
"""In dB, over the budget: errors of layers are not quite independent."""


@dataclass(frozen=True)
class Raised:
    """One layer that got more bits."""

    override: str
    cost_db: float
    """SQNR of the outputs when this layer alone is quantized."""
    expected_db: float
    """SQNR of the outputs once this layer and those before it are raised."""


@dataclass(frozen=True)
class Assignment:
    """A request whose overrides meet the budget, and how they came about."""

    request: Request
    raised: tuple[Raised, ...]
    start_db: float
    reached_db: float

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the overrides that were added, in order."""
        return tuple(raised.override for raised in self.raised)


def meet_budget(
    request: Request, passes: Sequence[Pass], host: PluginHost, talk: Talk, budget_db: float
) -> Assignment:
    """Raise the precision of as few layers as it takes; measure again after each round.

    Every layer is measured alone and their errors are taken to add up as energies; the worst are
    raised, from fewer than 8 bits to 8, from 8 to float, until the sum meets the budget.

    Args:
        request: its passes or preset are the cheapest assignment.
        passes: what the request asks for.
        host: gives passes and target.
        talk: told of every round.
        budget_db: smallest SQNR of the model's outputs against its float program, in dB.

    Raises:
        UsageError: when no pass takes overrides, or nothing is quantized to begin with.
        CheckError: when no override brings it nearer.
    """
    specs = [PassSpec(p.name, dict(option_values(p))) for p in passes]
    place = _place(passes)
    raised: list[Raised] = []
    start: float | None = None
    for _ in range(_MOST_ROUNDS):
        wanted = replace(request, passes=tuple(specs), preset=None)
        found = _inspect(wanted, host, talk, may_be_float=bool(raised))
        reached = math.inf if found is None or found.total.db is None else found.total.db
        start = reached if start is None else start
        if found is None or reached >= budget_db:
            return Assignment(wanted, tuple(raised), start, reached)
        more = _raise(found, budget_db + _MARGIN, {r.override for r in raised})
        if not more:
            break
        raised += more
        talk.step(f"{reached:.1f} dB of {budget_db:g}: {len(more)} layers get more bits")
        options = dict(specs[place].options)
        given: Sequence[str] = options[_OPTION]
        options[_OPTION] = (*given, *(r.override for r in more))  # type: ignore[assignment]
        specs[place] = PassSpec(specs[place].name, options)
    raise CheckError(
        f"the budget of {budget_db:g} dB is out of reach: {reached:.1f} dB with "
        f"{len(raised)} layers raised",
        hint="see where the loss is: rewrite inspect MODEL",
    )


def _inspect(
    request: Request, host: PluginHost, talk: Talk, *, may_be_float: bool
) -> Inspection | None:
    """Measure; None when the overrides left nothing quantized."""
    try:
        return inspect_model(request, host, talk, batches=1)
    except NotQuantizedError:
        if may_be_float:
            return None
        raise


def _place(passes: Sequence[Pass]) -> int:
    for index, p in enumerate(passes):
        if any(option.name == _OPTION for option in describe_options(type(p))):
            return index
    raise UsageError(
        "a budget needs a pass that takes overrides", hint="--preset int8, or insert-quantizers"
    )


def _raise(found: Inspection, wanted_db: float, done: set[str]) -> list[Raised]:
    """Return the worst layers until the rest is expected to meet the budget.

    A layer whose override did not end its loss becomes float; one that is float by now stays.
    """
    total = found.total
    left = sum(layer.output.noise for layer in found.layers)
    # What was measured together may be more or less than the sum: go on from the measured value.
    scale = total.noise / left if left > 0 else 1.0
    raised: list[Raised] = []
    for layer in found.layers:
        override = f"{layer.layer}=float" if layer.override in done else layer.override
        if override in done:
            continue
        left -= layer.output.noise
        if any(override == r.override for r in raised):
            continue
        expected = 10 * math.log10(total.signal / max(left * scale, 1e-300))
        raised.append(Raised(override, _db(layer), expected))
        if expected >= wanted_db:
            break
    return raised


def _db(layer: LayerLoss) -> float:
    return math.inf if layer.output.db is None else layer.output.db
