"""Values in target files: each key takes one type, and another one is named with its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rewrite.errors import UsageError


@dataclass(frozen=True)
class _Type:
    """What a key takes: its name for people, its check, and how text that was meant is written."""

    name: str
    takes: Callable[[Any], bool]
    written: str = ""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_TEXT = _Type("text", lambda value: isinstance(value, str))
_TEXTS = _Type("a list of text", _is_texts, '{key} = ["{value}"]')
_WHOLE = _Type("a whole number", _is_whole, "{key} = {value}")
_NUMBER = _Type("a number", _is_number, "{key} = {value}")
_PAIR = _Type("a list of two whole numbers", _is_pair, "{key} = [low, high]")
_FLAG = _Type("true or false", lambda value: isinstance(value, bool), "{key} = true")
_TABLE = _Type("a table", lambda value: isinstance(value, dict))

_TOP = {
    **dict.fromkeys(("name", "summary", "extends", "bias", "float16", "inputs"), _TEXT),
    **dict.fromkeys(("without", "runtimes", "machines", "avoids", "rules"), _TEXTS),
    **dict.fromkeys(("absorbs", "fuses", "prepare", "legalize"), _TEXTS),
    **dict.fromkeys(("ends", "spec", "op", "cost", "producer"), _TABLE),
    "opset": _WHOLE,
    "opset-range": _PAIR,
}
_SPEC = {
    **dict.fromkeys(("symmetric", "per-channel", "alike", "power-of-two"), _FLAG),
    **dict.fromkeys(("clips", "fixed-bits"), _FLAG),
    **dict.fromkeys(("scale", "least-range"), _NUMBER),
    **dict.fromkeys(("qmin", "qmax", "zero-point"), _WHOLE),
    "dtype": _TEXT,
    "range": _PAIR,
}
_OP = {
    "inputs": _TABLE,
    "output": _TEXT,
    "float-output": _FLAG,
    "no-zero-point": _FLAG,
    "mode": _TEXT,
    "least-channels": _WHOLE,
}
_ENTRIES = {"spec": _SPEC, "op": _OP}


def check_types(data: Mapping[str, Any], source: str) -> None:
    """Hold the values of a target file to the types of their keys; unknown keys are left alone.

    An entry that is `false` is left out of what the file extends, and has no type.

    Raises:
        UsageError: naming the file, the key and the value.
    """
    _check(data, _TOP, "", source)
    for table in ("spec", "op", "producer", "ends"):
        for name, entry in data.get(table, {}).items():
            if entry is False and "extends" in data:
                continue
            if table in _ENTRIES and isinstance(entry, dict):
                _check(entry, _ENTRIES[table], f"[{table}.{name}] ", source)
            elif table in _ENTRIES:
                raise UsageError(f"[{table}.{name}] is no table", where=source)
            else:
                _check({name: entry}, {name: _TEXT}, f"[{table}] ", source)
    for kind, rule in data.get("op", {}).items():
        if isinstance(rule, dict):
            inputs = rule.get("inputs", {})
            _check(inputs, dict.fromkeys(inputs, _TEXT), f"[op.{kind}.inputs] ", source)


def check_spec(table: Mapping[str, Any], name: str, source: str) -> None:
    """Hold the values of one quantization spec to the types of their keys.

    Raises:
        UsageError: naming the file, the key and the value.
    """
    _check(table, _SPEC, f"{name}: ", source)


def _check(table: Mapping[str, Any], types: Mapping[str, _Type], path: str, source: str) -> None:
    for key, value in table.items():
        wanted = types.get(key)
        if wanted is None or wanted.takes(value):
            continue
        shown = f'"{value}"' if isinstance(value, str) else value
        given = str(value).lower() if isinstance(value, bool) else shown
        written = wanted.written.format(key=key, value=value)
        raise UsageError(
            f"{path}{key} is {given}, not {wanted.name}",
            where=source,
            hint=written if _says(wanted, value) else None,
        )


def _says(wanted: _Type, value: Any) -> bool:
    """Tell whether the value was probably meant, and only written as another type."""
    if wanted in (_PAIR, _FLAG):
        return True
    if wanted in (_WHOLE, _NUMBER):
        digits = value.removeprefix("-") if isinstance(value, str) else ""
        return digits.isdecimal()
    return wanted is _TEXTS and isinstance(value, str)
