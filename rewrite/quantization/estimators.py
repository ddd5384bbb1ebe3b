"""One calibrator for each group of tensors, and whose fault it is when one fails."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from rewrite.blame import blame, defined_at, named
from rewrite.descriptors import Calibrator, State
from rewrite.errors import PluginError, UsageError
from rewrite.quantization.spec import QuantSpec
from rewrite.quantization.trial import Ranges

_HINT = "mend the calibrator, or choose another one: calibrate{method=min-max}"
_NOTHING_SEEN = (math.inf, -math.inf)
"""Bounds of a tensor that was empty in every batch, or that was never computed."""


class Estimators:
    """What is learnt of the values of each group.

    Raises:
        PluginError: from every method that asks a calibrator, when that raises.
    """

    def __init__(
        self,
        specs: Mapping[str, QuantSpec],
        make: Callable[[QuantSpec], Calibrator],
        origin: Callable[[str, str], str],
    ) -> None:
        self._origin = origin
        self._made = {group: make(spec) for group, spec in specs.items()}

    @property
    def choose(self) -> bool:
        """Whether one of them gives several ranges to choose from."""
        return any(_has_own(made, "candidates") for made in self._made.values())

    def observe(self, group: str, values: torch.Tensor) -> None:
        """Show finite values to the calibrator of a group, which must not write to them."""
        made, before = self._made[group], values._version
        with self._blamed(group):
            made.observe(values)
        if values._version != before:  # the layers that follow compute on them
            raise PluginError(
                f"{self._named(made)} writes to the values of tensor '{group}' that it is shown",
                where=defined_at(type(made).observe),
                hint="work on a copy: values.abs(), not values.abs_()",
            )

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return the range of every group."""
        found = {}
        for group, made in self._made.items():
            with self._blamed(group):
                bounds = made.bounds()
            found[group] = self._checked(group, bounds, "bounds")
        return found

    def candidates(self) -> dict[str, Ranges]:
        """Return the ranges of every group by their names."""
        found: dict[str, Ranges] = {}
        for group, made in self._made.items():
            with self._blamed(group):
                ranges = dict(made.candidates())
            method = "candidates" if _has_own(made, "candidates") else "bounds"
            found[group] = {n: self._checked(group, each, method) for n, each in ranges.items()}
        return found

    def states(self) -> dict[str, State]:
        """Return what each has learnt so far."""
        found = {}
        for group, made in self._made.items():
            with self._blamed(group):
                found[group] = made.state()
        return found

    def load_states(self, states: Mapping[str, State]) -> None:
        """Go on from what they had learnt."""
        for group, state in states.items():
            with self._blamed(group):
                self._made[group].load_state(state)

    def could_make(self, states: Mapping[str, State]) -> bool:
        """Tell whether states have the groups of these, and values of their types."""
        return states.keys() == self._made.keys() and all(
            _alike(state, self._made[group].state()) for group, state in states.items()
        )

    def need_states(self) -> None:
        """Require that each can be stopped and resumed.

        Raises:
            UsageError: for one that cannot.
        """
        for made in self._made.values():
            if not (_has_own(made, "state") and _has_own(made, "load_state")):
                raise UsageError(
                    f"calibrator '{made.name}' cannot be stopped and resumed",
                    hint="give it state() and load_state(), or leave out --calibration-cache and "
                    "nan=skip",
                )

    def _checked(self, group: str, bounds: Any, method: str) -> tuple[float, float]:
        """Return bounds that are two finite numbers in order, as floats."""
        with contextlib.suppress(TypeError, ValueError):
            low, high = (float(bound) for bound in bounds)
            in_order = math.isfinite(low) and math.isfinite(high) and low <= high
            if in_order or (low, high) == _NOTHING_SEEN:
                return low, high
        made = self._made[group]
        raise PluginError(
            f"{self._named(made)} gives tensor '{group}' the bounds {bounds!r}",
            where=defined_at(getattr(type(made), method)),
            hint="return two finite numbers, the lower one first",
        )

    def _named(self, made: Calibrator) -> str:
        return named(f"calibrator '{made.name}'", self._origin("calibrator", made.name))

    @contextlib.contextmanager
    def _blamed(self, group: str) -> Iterator[None]:
        made = self._made[group]
        what, source = f"calibrator '{made.name}'", self._origin("calibrator", made.name)
        with blame(what, type(made), source, f"at tensor '{group}'; {_HINT}"):
            yield


def _has_own(made: Calibrator, method: str) -> bool:
    return getattr(type(made), method) is not getattr(Calibrator, method)


def _alike(state: State, fresh: State) -> bool:
    """Tell whether values that both states have are of one type, and none is NaN."""
    return all(
        not torch.as_tensor(value).isnan().any()
        and (key not in fresh or _type(value) == _type(fresh[key]))
        for key, value in state.items()
    )


def _type(value: Any) -> Any:
    return (value.dtype, value.dim()) if isinstance(value, torch.Tensor) else float
