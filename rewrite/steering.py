"""Steering a compilation around known bad combinations, and saying so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from rewrite.errors import UsageError
from rewrite.faults import Fault, concerning, matches
from rewrite.program import Program
from rewrite.quantization.kinds import is_weight, kind
from rewrite.quantization.markers import QUANTIZE
from rewrite.runtimes import get_runtime, runtimes
from rewrite.schema import argument
from rewrite.talk import Talk
from rewrite.target import Target

_ROLES_FOUND = ("activation", "operand")
"""What a spec is used for, where a program shows it."""


def installed_versions(target: Target) -> dict[str, str]:
    """Return the installed version of each runtime of a target, '' for one that is not."""
    known = {runtime.name for runtime in runtimes()}
    return {name: get_runtime(name).version for name in target.runtimes if name in known}


def faults_of(target: Target, faults: Iterable[Fault]) -> list[Fault]:
    """Return the known faults that a target runs into on this machine."""
    return concerning(faults, target, installed_versions(target))


def steer_specs(target: Target, faults: Sequence[Fault], talk: Talk) -> Target:
    """Give the specs of a target what works on the installed runtimes, a line for each change."""
    specs = dict(target.specs)
    for fault in faults:
        if not fault.use:
            continue
        now = dataclasses.replace(target, specs=specs)
        for name in fault.specs_of(now):
            specs[name] = specs[name].changed(fault.use, f"fault '{fault.name}': use")
            talk.warn(f"{_who(fault)} {fault.symptom}: [spec.{name}] is {_shown(fault)} instead")
    return dataclasses.replace(target, specs=specs) if specs != dict(target.specs) else target


def choose_opset(asked: int | None, target: Target, faults: Sequence[Fault], talk: Talk) -> int:
    """Return the opset to write: the one asked for, or the target's nearest one that works.

    Where none works, that is told; of a fault of some types by `tell_types`, once they are known.

    Raises:
        UsageError: for one that the target does not take.
    """
    low, high = target.opset_range
    opset = asked or target.opset
    if not low <= opset <= high:
        known = next((f for f in faults if f.opset and f.opset[0] <= opset <= f.opset[1]), None)
        because = f"; {_who(known)} {known.symptom}" if known else ""
        raise UsageError(
            f"opset {opset} does not suit target '{target.name}'",
            hint=f"use {low} to {high}{because}",
        )
    fault = _at(opset, faults)
    if fault is None:
        return opset
    if asked is not None:
        talk.warn(f"{_who(fault)} {fault.symptom}: opset {opset} was asked for")
        return opset
    for other in sorted(range(low, high + 1), key=lambda o: (abs(o - opset), o)):
        if _at(other, faults) is None:
            talk.warn(f"{_who(fault)} {fault.symptom}: opset {other} instead of {opset}")
            return other
    for each in faults:
        if _at(opset, [each]) and not _is_of_types(each):
            talk.warn(_unavoidable(each, target))
    return opset


def tell_types(
    program: Program,
    target: Target,
    faults: Iterable[Fault],
    talk: Talk,
    opset: int | None = None,
) -> None:
    """Say which types of a program's activations a runtime is bad at, where nothing else is done.

    Args:
        program: quantized, perhaps to other numbers of bits than the target's own.
        target: names the runtimes; what is not installed is not spoken of.
        faults: all that are known.
        talk: told of each.
        opset: that is written and nobody asked for: what it is bad at has no way around it.
    """
    found = _types(program)
    versions = installed_versions(target)
    for fault in faults:
        version = versions.get(fault.runtime)
        if fault.use or fault.avoid or fault.spec.get("dtype") not in found.get(fault.role, ()):
            continue
        if fault.opset and not (opset and _at(opset, [fault])):
            continue
        if version and matches(version, fault.versions):
            known = _unavoidable(fault, target) if fault.opset else f"{_who(fault)} {fault.symptom}"
            talk.warn(known)


def _types(program: Program) -> dict[str, set[str]]:
    """Return the integers that activations are stored in, by what the values are used for."""
    found: dict[str, set[str]] = {role: set() for role in _ROLES_FOUND}
    for node in program.graph.nodes:
        if node.target is not QUANTIZE or is_weight(argument(node, "x")):
            continue
        stored = program.weight(str(argument(node, "zero_point").target)).dtype
        dtype = str(stored).removeprefix("torch.")
        found["activation"].add(dtype)
        if any(kind(reader) == "matmul" for user in node.users for reader in user.users):
            found["operand"].add(dtype)
    return found


def _at(opset: int, faults: Sequence[Fault]) -> Fault | None:
    """Return the first fault that an opset runs into."""
    for fault in faults:
        if fault.is_about_opset and fault.opset and fault.opset[0] <= opset <= fault.opset[1]:
            return fault
    return None


def _is_of_types(fault: Fault) -> bool:
    """Tell whether `tell_types` finds out if a program has what a fault is about."""
    return fault.role in _ROLES_FOUND and "dtype" in fault.spec


def _unavoidable(fault: Fault, target: Target) -> str:
    return f"{_who(fault)} {fault.symptom}: no opset of target '{target.name}' avoids it"


def _who(fault: Fault) -> str:
    return f"{fault.runtime} {get_runtime(fault.runtime).version}".strip()


def _shown(fault: Fault) -> str:
    return ", ".join(f"{key} {value}" for key, value in fault.use.items())
