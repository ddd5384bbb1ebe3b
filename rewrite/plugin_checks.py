"""What each hook may yield: the kinds of descriptors, and the contract each is held to."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import torch

from rewrite.descriptors import Calibrator, Lowering, Model, PassObserver, Preset
from rewrite.errors import UsageError
from rewrite.faults import Fault
from rewrite.options import build, option_values
from rewrite.passes import Equivalence, Pass
from rewrite.target import Target

_KEBAB = re.compile(r"[a-z0-9][a-z0-9-]*")
_RELATIONS = ("requires", "after", "before", "preserves", "precisions")


class ContractError(Exception):
    """A descriptor does not keep its contract; the message says how to mend it."""


@dataclass(frozen=True)
class Kind:
    """One kind of descriptor, and the hook that yields it."""

    noun: str
    hook: str
    keys: Callable[[Any], tuple[str, ...]]
    """Validate a descriptor and return the names that no other plugin may use."""


def require_name(value: Any, owner: str) -> str:
    """Return `value` when it is a name in kebab case.

    Raises:
        ContractError: when it is not.
    """
    if not isinstance(value, str):
        raise ContractError(f'{owner} has no name: set name = "some-name"')
    if not _KEBAB.fullmatch(value):
        raise ContractError(
            f"{owner} is named '{value}': use lower case letters, digits and '-', like 'fold-scale'"
        )
    return value


def _pass(value: Any) -> tuple[str, ...]:
    owner = _subclass(value, Pass)
    name = require_name(getattr(value, "name", None), owner)
    _implemented(value, owner)
    _documented(value, owner)
    allowed = get_args(Equivalence)
    equivalence = getattr(value, "equivalence", None)
    if equivalence not in allowed:
        raise ContractError(f"{owner}.equivalence is {equivalence!r}, not one of {allowed}")
    if equivalence == "approximate" and not value.bound > 0:
        raise ContractError(f"{owner} is approximate: set bound to the relative error it promises")
    for relation in _RELATIONS:
        names = getattr(value, relation)
        if not isinstance(names, tuple) or not all(isinstance(n, str) for n in names):
            raise ContractError(f'{owner}.{relation} is {names!r}, not a tuple such as ("a",)')
    _options(value, owner)
    if value.precisions and "override" not in option_values(value()):
        raise ContractError(f"{owner} gives precisions, and has no option 'override' to take them")
    return (name,)


def _options(cls: type[Pass], owner: str) -> None:
    """Require that the options are dataclass fields whose defaults are valid."""
    bare = [k for k, v in vars(cls).items() if isinstance(v, dataclasses.Field)]
    if bare:
        raise ContractError(
            f"{owner} has options ({bare[0]}): decorate it, @dataclass(frozen=True)"
        )
    for field in dataclasses.fields(cls):
        if "help" in field.metadata and not field.metadata["help"]:
            raise ContractError(f"{owner}.{field.name} has no help text")
    try:
        build(cls, cls.name, option_values(cls()))
    except (TypeError, ValueError, NameError, UsageError) as error:
        raise ContractError(f"{owner} cannot be made from its defaults: {error}") from error


def _preset(value: Any) -> tuple[str, ...]:
    _instance(value, Preset)
    name = require_name(value.name, "a Preset")
    if not isinstance(value.passes, tuple) or not all(isinstance(p, str) for p in value.passes):
        raise ContractError(f"preset '{name}': passes is {value.passes!r}, not a tuple of names")
    return (name,)


def _model(value: Any) -> tuple[str, ...]:
    _instance(value, Model)
    name = require_name(value.name, "a Model")
    for attribute in ("model", "inputs"):
        if not callable(getattr(value, attribute)):
            raise ContractError(f"model '{name}': {attribute} is not a function")
    return (name,)


def _target(value: Any) -> tuple[str, ...]:
    _instance(value, Target)
    return (require_name(value.name, "a Target"),)


def _fault(value: Any) -> tuple[str, ...]:
    _instance(value, Fault)
    name = require_name(value.name, "a Fault")
    if not value.symptom:
        raise ContractError(f"fault '{name}' has no symptom: say what happens")
    return (name,)


def _lowering(value: Any) -> tuple[str, ...]:
    _instance(value, Lowering)
    if isinstance(value.overload, torch._ops.OpOverloadPacket):
        packet = value.overload
        raise ContractError(f"a Lowering takes one overload: {packet}.default")
    if not isinstance(value.overload, torch._ops.OpOverload):
        raise ContractError(f"a Lowering takes an operator overload, not {value.overload!r}")
    if not callable(value.translate):
        raise ContractError(f"the Lowering of {value.overload} has no function to translate it")
    if not isinstance(value.targets, tuple):
        raise ContractError(f'the Lowering of {value.overload}: targets is no tuple like ("a",)')
    if not value.targets:
        return (str(value.overload),)
    return tuple(f"{value.overload} for {target}" for target in value.targets)


def _calibrator(value: Any) -> tuple[str, ...]:
    owner = _subclass(value, Calibrator)
    _implemented(value, owner)
    return (require_name(getattr(value, "name", None), owner),)


def _observer(value: Any) -> tuple[str, ...]:
    """Observers only look, so any number may share a name."""
    if isinstance(value, type):
        raise ContractError(f"an observer is an instance: yield {value.__name__}()")
    _instance(value, PassObserver)
    require_name(value.name, type(value).__name__)
    return ()


KINDS = {
    kind.noun: kind
    for kind in (
        Kind("pass", "rewrite_passes", _pass),
        Kind("preset", "rewrite_presets", _preset),
        Kind("model", "rewrite_models", _model),
        Kind("target", "rewrite_targets", _target),
        Kind("fault", "rewrite_faults", _fault),
        Kind("lowering", "rewrite_lowerings", _lowering),
        Kind("calibrator", "rewrite_calibrators", _calibrator),
        Kind("observer", "rewrite_observers", _observer),
    )
}


def _instance(value: Any, wanted: type) -> None:
    if not isinstance(value, wanted):
        raise ContractError(f"yielded {_shown(value)}, not a {wanted.__name__}")


def _subclass(value: Any, wanted: type) -> str:
    if isinstance(value, wanted):
        raise ContractError(f"yielded an instance of {type(value).__name__}: yield the class")
    if not isinstance(value, type) or not issubclass(value, wanted):
        raise ContractError(f"yielded {_shown(value)}, not a subclass of {wanted.__name__}")
    return value.__name__


def _implemented(cls: Any, owner: str) -> None:
    if inspect.isabstract(cls):
        missing = ", ".join(f"{n}()" for n in sorted(cls.__abstractmethods__))
        raise ContractError(f"{owner} does not implement {missing}")


def _documented(cls: type, owner: str) -> None:
    # @dataclass makes up a docstring "Name(field: type = default)" where there is none.
    text = (cls.__doc__ or "").strip()
    if not text or text.startswith(f"{cls.__name__}("):
        raise ContractError(f"{owner} has no docstring: its first line is what listings show")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
