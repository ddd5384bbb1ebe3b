"""Options of passes: dataclass fields with a type, a range and a help text."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from rewrite.errors import UsageError, unknown

_HELP, _LOW, _HIGH = "help", "low", "high"


def option(default: Any, *, help: str, low: float | None = None, high: float | None = None) -> Any:
    """Declare one option of a pass; its type is the field's annotation.

    Args:
        default: used when the option is not given.
        help: one sentence for `rewrite passes NAME`.
        low: smallest value allowed, for numbers.
        high: largest value allowed, for numbers.
    """
    return dataclasses.field(default=default, metadata={_HELP: help, _LOW: low, _HIGH: high})


@dataclass(frozen=True)
class OptionInfo:
    """What `rewrite passes NAME` shows of one option."""

    name: str
    type: str
    default: Any
    help: str
    low: float | None
    high: float | None


def describe_options(owner: type) -> list[OptionInfo]:
    """List the options of a dataclass in the order they were declared."""
    if not dataclasses.is_dataclass(owner):
        return []
    hints = typing.get_type_hints(owner)
    return [
        OptionInfo(
            name=f.name.replace("_", "-"),
            type=_type_name(hints[f.name]),
            default=f.default,
            help=f.metadata.get(_HELP, ""),
            low=f.metadata.get(_LOW),
            high=f.metadata.get(_HIGH),
        )
        for f in dataclasses.fields(owner)
        if _HELP in f.metadata
    ]


def build(owner: type, name: str, given: dict[str, Any]) -> Any:
    """Make an instance of `owner` from textual or typed option values.

    Raises:
        UsageError: for an unknown option, a value of the wrong type or out of range.
    """
    fields = (
        {f.name: f for f in dataclasses.fields(owner) if _HELP in f.metadata}
        if dataclasses.is_dataclass(owner)
        else {}
    )
    hints = typing.get_type_hints(owner)
    values: dict[str, Any] = {}
    for key, raw in given.items():
        field_name = key.replace("-", "_")
        if field_name not in fields:
            error = unknown(f"option of '{name}'", key, [n.replace("_", "-") for n in fields])
            raise UsageError(error.what, hint=f"{error.hint} (rewrite passes {name})")
        value = _convert(raw, hints[field_name], f"{name}{{{key}={raw}}}")
        _check_range(value, fields[field_name].metadata, f"{name}{{{key}={raw}}}")
        values[field_name] = value
    return owner(**values)


def option_values(instance: Any) -> dict[str, Any]:
    """Return every option of a pass instance by its command-line name."""
    return {
        info.name: getattr(instance, info.name.replace("-", "_"))
        for info in describe_options(type(instance))
    }


def _check_range(value: Any, metadata: Any, where: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return
    low, high = metadata[_LOW], metadata[_HIGH]
    too_low, too_high = low is not None and value < low, high is not None and value > high
    if math.isnan(value) or too_low or too_high:
        raise UsageError(f"{value} is out of range", where=where, hint=_allowed(low, high))


def _allowed(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"allowed: {low} to {high}"
    if low is None and high is None:
        return "allowed: any number"
    return f"allowed: at least {low}" if high is None else f"allowed: at most {high}"


def _convert(raw: Any, wanted: Any, where: str) -> Any:
    origin = get_origin(wanted)
    if origin is Literal:
        return _choice(raw, get_args(wanted), where)
    if origin in (Union, types.UnionType):
        if raw is None or raw == "none":
            return None
        inner = [a for a in get_args(wanted) if a is not type(None)]
        return _convert(raw, inner[0], where)
    if origin is tuple:
        items = raw.split("+") if isinstance(raw, str) else list(raw)
        return tuple(_convert(item, get_args(wanted)[0], where) for item in items if item != "")
    if wanted is bool:
        return _boolean(raw, where)
    try:
        value = wanted(raw)
        if wanted is int and isinstance(raw, float) and value != raw:
            raise ValueError(raw)
        return value
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"'{raw}' is not a value of type {_type_name(wanted)}", where=where
        ) from None


def _choice(raw: Any, choices: tuple[Any, ...], where: str) -> Any:
    for choice in choices:
        if raw == choice or str(raw) == str(choice):
            return choice
    raise unknown("value", str(raw), [str(c) for c in choices], where=where)


def _boolean(raw: Any, where: str) -> bool:
    if isinstance(raw, bool):
        return raw
    table = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(raw).lower() not in table:
        raise UsageError(f"'{raw}' is neither true nor false", where=where)
    return table[str(raw).lower()]


def _type_name(wanted: Any) -> str:
    if get_origin(wanted) is Literal:
        return "|".join(str(c) for c in get_args(wanted))
    if get_origin(wanted) is tuple:
        return f"{_type_name(get_args(wanted)[0])}+…"
    if get_origin(wanted) in (Union, types.UnionType):
        return "|".join("none" if a is type(None) else _type_name(a) for a in get_args(wanted))
    return getattr(wanted, "__name__", str(wanted))
