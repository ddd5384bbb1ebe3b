"""Mixed precision: the precisions of layers that meet a budget of quality, of size, or of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rewrite.budget import Assignment, Budget, show_bytes
from rewrite.budget_trial import Trials, decibels, list_changes, noise_of, ratio, weights_of
from rewrite.errors import CheckError, UsageError
from rewrite.inspection import Measured
from rewrite.knapsack import Point, least_noise, least_room
from rewrite.layer_sizes import find_layers, layer_bytes, layer_precisions
from rewrite.losses import Inspection
from rewrite.options import option_values
from rewrite.overrides import OPTION, SKIP
from rewrite.passes import Pass
from rewrite.plugin_host import PluginHost
from rewrite.program import Program
from rewrite.request import Request
from rewrite.stored_size import legalized, stored_bytes
from rewrite.talk import Talk

_MOST_ROUNDS = 6
_MARGIN = 0.5
"""In dB, over the budget: errors of layers are not quite independent."""
_FLOAT = "float"


def meet_budget(
    request: Request, passes: Sequence[Pass], host: PluginHost, talk: Talk, budget: Budget
) -> Assignment:
    """Choose the precision of every layer so that a budget is met; measure what comes out.

    Every layer is measured alone, and the errors are taken to add up as energies.

    *Quality alone*: as few layers as it takes get more bits. The worst are raised, from fewer than
    8 bits to 8, from 8 to float, until the sum meets the budget; then all is measured again.

    *Size, or size and quality*: the most accurate assignment that fits, from what the pass offers
    (`Pass.precisions`) and what was given; see `knapsack.least_noise`. Layers that the user's own
    options `override` and `skip` name stay as they are, and so do calls without weights. What is
    chosen is lowered to ONNX and counted as the file stores it.

    Args:
        request: its passes or preset are where it starts from.
        passes: what the request asks for.
        host: gives passes and target.
        talk: told of every round.
        budget: what to meet.

    Raises:
        UsageError: when no pass takes overrides, or nothing is quantized to begin with.
        CheckError: when the budget is out of reach; it says how near one comes.
    """
    trials = Trials(request, passes, host, talk)
    if not budget.has_size:
        assert budget.db is not None
        return _raise_until(trials, budget.db)
    return _Fit(trials, budget).run()


def _raise_until(trials: Trials, wanted_db: float) -> Assignment:
    """Give the layers that cost most more bits until the outputs are good enough."""
    start = found = trials.start()
    raised: list[str] = []
    for _ in range(_MOST_ROUNDS):
        reached = decibels(found.losses)
        if reached >= wanted_db:
            return _raised(trials, raised, start, found)
        more = _worst(found.losses, wanted_db + _MARGIN, set(raised))
        if not more:
            break
        raised += more
        trials.talk.step(f"{reached:.1f} dB of {wanted_db:g}: {len(more)} layers get more bits")
        found = trials.measure((*trials.given, *raised))
    raise CheckError(
        f"the budget of {wanted_db:g} dB is out of reach: {decibels(found.losses):.1f} dB with "
        f"{len(raised)} layers raised",
        hint="see where the loss is: rewrite inspect MODEL",
    )


def _worst(losses: Inspection, wanted_db: float, done: set[str]) -> list[str]:
    """Return overrides for the worst layers, until the rest is expected to be good enough.

    A layer whose override did not end its loss becomes float; one that is float by now stays.
    """
    left = sum(layer.output.noise for layer in losses.layers)
    raised: list[str] = []
    for layer in losses.layers:
        override = f"{layer.layer}={_FLOAT}" if layer.override in done else layer.override
        if override in done:
            continue
        left -= layer.output.noise
        if override in raised:
            continue
        raised.append(override)
        if ratio(losses, left) >= wanted_db:
            break
    return raised


def _raised(trials: Trials, raised: list[str], start: Measured, found: Measured) -> Assignment:
    layers = find_layers(start.plain, [start.program])
    noises = [noise_of(start.losses, each) for each in layers]
    later = [noise_of(found.losses, each) for each in layers]
    sizes = layer_bytes(start.program, layers), layer_bytes(found.program, layers)
    return Assignment(
        request=trials.request_with((*trials.given, *raised)),
        overrides=tuple(raised),
        changes=list_changes(layers, start, found, (noises, later), sizes, weights_of(start)),
        start_db=decibels(start.losses),
        reached_db=decibels(found.losses),
        start_bytes=weights_of(start),
        reached_bytes=weights_of(found),
    )


@dataclass(frozen=True)
class _Choice:
    """A way to store a layer: the override that asks for it, None for what was given."""

    precision: str | None
    point: Point


class _Fit:
    """The most accurate assignment within a number of bytes."""

    def __init__(self, trials: Trials, budget: Budget) -> None:
        if len(trials.takers) > 1:
            raise UsageError(
                f"a budget of size chooses for one pass, not for {' and '.join(trials.takers)}",
                hint="leave one of them out",
            )
        self.trials, self.budget = trials, budget
        self.start = trials.start()
        self.plain = self.start.plain
        measured: dict[str | None, Measured] = {None: self.start}
        for precision in trials.taker.precisions:
            if precision != _FLOAT and not self._has_everywhere(precision):
                trials.talk.step(f"measure every layer at {precision}")
                # The user's own overrides come later, and so win.
                measured[precision] = trials.measure((f"*={precision}", *trials.given))
        self.layers = find_layers(self.plain, [m.program for m in measured.values()])
        if not self.layers:
            raise UsageError(
                "no layer has a quantized weight, so there is no size to choose",
                hint="a budget in dB needs none: --budget 35dB",
            )
        self.choices = self._choices(measured)
        self.start_bytes = self._stored(self.start.program)
        self.others = self.start_bytes - sum(choices[0].point.bytes for choices in self.choices)

    def run(self) -> Assignment:
        limit = self._limit()
        room = limit - self.others
        for _ in range(_MOST_ROUNDS):
            picked = least_noise(self._points(), room)
            if picked is None:
                raise self._out_of_reach(limit)
            found = self._found(picked)
            if found.reached_bytes <= limit:
                return self._good_enough(found)
            room -= found.reached_bytes - limit
        raise self._out_of_reach(limit)

    def _choices(self, measured: dict[str | None, Measured]) -> list[list[_Choice]]:
        """Return what each layer may have, what was given first, and nothing twice."""
        sizes = {p: self._sizes(m.program) for p, m in measured.items()}
        float_sizes, pinned = self._sizes(self.plain), self.trials.named_by(self.plain)
        choices = []
        for index, layer in enumerate(self.layers):
            points = {
                p: Point(sizes[p][index], noise_of(m.losses, layer)) for p, m in measured.items()
            }
            if _FLOAT in self.trials.taker.precisions:
                points[_FLOAT] = Point(float_sizes[index], 0.0)
            if not pinned.isdisjoint(layer.nodes):
                points = {None: points[None]}
            unlike = {p: point for p, point in points.items() if not p or point != points[None]}
            choices.append([_Choice(p, point) for p, point in unlike.items()])
        return choices

    def _has_everywhere(self, precision: str) -> bool:
        """Tell whether every layer that can be quantized was given a precision."""
        options = option_values(self.trials.taker)
        layers = find_layers(self.plain, [self.start.program])
        found = {str(each) for each in layer_precisions(self.start.program, layers)}
        return found == {precision} and not (options[OPTION] or options.get(SKIP))

    def _points(self) -> list[list[Point]]:
        return [[choice.point for choice in choices] for choices in self.choices]

    def _found(self, picked: list[int]) -> Assignment:
        """Measure an assignment together, and count what its file stores."""
        chosen = [choices[i] for choices, i in zip(self.choices, picked, strict=True)]
        overrides = tuple(
            f"{name}={choice.precision}"
            for layer, choice in zip(self.layers, chosen, strict=True)
            for name in layer.names
            if choice.precision is not None
        )
        if overrides:
            count = sum(choice.precision is not None for choice in chosen)
            self.trials.talk.step(f"measure together, {count} of {len(chosen)} layers changed")
        wanted = (*self.trials.given, *overrides)
        after = self.trials.measure(wanted) if overrides else self.start
        given = [choices[0].point for choices in self.choices]
        points = [choice.point for choice in chosen]
        noises = [p.noise for p in given], [p.noise for p in points]
        sizes = [p.bytes for p in given], [p.bytes for p in points]
        return Assignment(
            request=self.trials.request_with(wanted),
            overrides=overrides,
            changes=list_changes(self.layers, self.start, after, noises, sizes, self.start_bytes),
            start_db=decibels(self.start.losses),
            reached_db=decibels(after.losses),
            start_bytes=self.start_bytes,
            reached_bytes=self._stored(after.program) if overrides else self.start_bytes,
        )

    def _limit(self) -> int:
        # Only a share needs to know what float weights take.
        whole = 0 if self.budget.share is None else self._stored(self.plain)
        limit = self.budget.limit(whole)
        assert limit is not None
        return limit

    def _sizes(self, program: Program) -> list[int]:
        return layer_bytes(self._legalized(program), self.layers)

    def _stored(self, program: Program) -> int:
        return stored_bytes(self._legalized(program), self.trials.request, self.trials.host)

    def _legalized(self, program: Program) -> Program:
        return legalized(program, self.trials.request, self.trials.host)

    def _good_enough(self, found: Assignment) -> Assignment:
        """Return an assignment that fits, if its outputs are as good as wanted.

        Raises:
            CheckError: with what it would take.
        """
        wanted = self.budget.db
        if wanted is None or found.reached_db >= wanted:
            return found
        room = least_room(self._points(), self._noise_for(wanted))
        # Shown to four digits, which may round down: a little more, so that it is enough.
        enough = 0 if room is None else int(1.001 * (room + self.others)) + 1
        most = f"about {show_bytes(enough)}" if enough else "no number of bytes"
        raise CheckError(
            f"the budget of {self.budget} is out of reach: {found.reached_db:.1f} dB in "
            f"{show_bytes(found.reached_bytes)}",
            hint=f"{wanted:g} dB take {most}",
        )

    def _noise_for(self, wanted_db: float) -> float:
        """Return how much noise the layers may make, by what was measured at the start."""
        total = self.start.losses.total
        alone = sum(layer.output.noise for layer in self.start.losses.layers)
        given = sum(choices[0].point.noise for choices in self.choices)
        scale = total.noise / alone if alone > 0 else 1.0
        allowed: float = 1 / 10 ** (wanted_db / 10) / scale
        return allowed - max(alone - given, 0.0)

    def _out_of_reach(self, limit: int) -> CheckError:
        least = self.others + sum(min(p.bytes for p in points) for points in self._points())
        return CheckError(
            f"the budget of {self.budget} is out of reach: the weights take at least "
            f"{show_bytes(least)}, and {show_bytes(limit)} are allowed",
            hint="let go of layers that skip or override keep, or take a preset of fewer bits",
        )
