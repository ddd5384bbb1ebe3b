"""Target files: TOML tables, merged with those of the target they extend, become a target."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rewrite.errors import UsageError, unknown
from rewrite.quantization.costs import CostTable
from rewrite.quantization.kinds import KINDS, tensors_of
from rewrite.quantization.spec import QuantSpec
from rewrite.target import AVOIDABLE, MODES, OpRule, Target
from rewrite.target_values import check_types
from rewrite.toml_text import read_toml

Tables = dict[str, Any]

KEYS = {
    "name",
    "summary",
    "extends",
    "without",
    "opset",
    "opset-range",
    "runtimes",
    "machines",
    "bias",
    "float16",
    "prepare",
    "legalize",
    "absorbs",
    "fuses",
    "avoids",
    "rules",
    "inputs",
    "ends",
    "spec",
    "op",
    "producer",
    "cost",
}
RULE_KEYS = ("inputs", "output", "float-output", "no-zero-point", "mode", "least-channels")
BIASES = ("int32", "int8", "float32")
HALVES = ("none", "storage", "compute")
_NAMED = ("spec", "op", "producer", "ends")
"""Tables whose entries a target may take out one by one, by `NAME = false`."""
_OWN = ("name", "extends", "without")
"""Keys that say something of one file, and are not inherited."""


def read_tables(text: str, source: str) -> Tables:
    """Read TOML text and check the names of its keys, and the types of their values.

    Raises:
        UsageError: for text that is no TOML, an unknown key, a missing name or another type.
    """
    data = read_toml(text, "the target", source)
    for key in data:
        if key not in KEYS:
            raise unknown("key of a target", key, KEYS, where=source)
    if not isinstance(data.get("name"), str):
        raise UsageError("a target needs a name", where=source, hint='name = "my-target"')
    check_types(data, source)
    if "without" in data and "extends" not in data:
        raise UsageError("`without` is for targets that extend another", where=source)
    return data


def resolve(target: Target, known: Mapping[str, Target]) -> Target:
    """Return a target with everything it inherits; one that extends nothing is itself.

    Args:
        target: as read from its file.
        known: all targets by name.

    Raises:
        UsageError: naming the file, for an unknown base, a circle, or what does not fit together.
    """
    if not _base(target):
        return target
    chain = _chain(target, known)
    merged: Tables = {}
    for each in reversed(chain):
        merged = _merge(merged, each)
    return read_target({**merged, "name": target.name}, target.source, target.extends)


def _chain(target: Target, known: Mapping[str, Target]) -> list[Target]:
    """Return the target, what it extends, what that extends and so on."""
    chain = [target]
    while _base(chain[-1]):
        last = chain[-1]
        if _base(last) not in known:
            raise unknown("target to extend", _base(last), known, where=last.source)
        base = known[_base(last)]
        chain.append(base)
        if base.name in [t.name for t in chain[:-1]]:
            names = " -> ".join(t.name for t in chain)
            raise UsageError(
                f"targets extend one another in a circle: {names}",
                where=target.source,
                hint="one of them must stand on its own",
            )
        if not base.tables:
            raise UsageError(
                f"target '{base.name}' was not read from a file, so nothing can extend it",
                where=last.source,
            )
    return chain


def _base(target: Target) -> str:
    """Return what a target as read still has to inherit from; a complete one nothing."""
    name: str = target.tables.get("extends", "")
    return name


def _merge(base: Tables, target: Target) -> Tables:
    merged = copy.deepcopy({k: v for k, v in base.items() if k not in _OWN})
    for path in target.tables.get("without", ()):
        _drop(merged, path, target.source)
    for table in _NAMED:
        for name, value in target.tables.get(table, {}).items():
            if value is False:
                _drop(merged, f"{table}.{name}", target.source)
    return _over(merged, _present(target.tables))


def _present(tables: Mapping[str, Any]) -> Tables:
    """Leave out the entries that are only there to take something out."""
    kept = {k: v for k, v in tables.items() if k not in _OWN}
    for table in _NAMED:
        if table in kept:
            kept[table] = {k: v for k, v in kept[table].items() if v is not False}
    return kept


def _over(base: Tables, new: Mapping[str, Any]) -> Tables:
    """Lay tables over others, key by key at every depth."""
    for key, value in new.items():
        inner = base.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            base[key] = _over(inner, value)
        else:
            base[key] = copy.deepcopy(value)
    return base


def _drop(tables: Tables, path: str, source: str) -> None:
    *above, last = path.split(".")
    inner: Any = tables
    for name in above:
        inner = inner.get(name) if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or last not in inner:
        known = [p for p in _paths(tables) if p.count(".") == path.count(".")]
        raise unknown("entry to leave out", path, known, where=source)
    del inner[last]


def _paths(tables: Tables, prefix: str = "") -> list[str]:
    found = []
    for key, value in tables.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, dict):
            found += _paths(value, f"{prefix}{key}.")
    return found


def read_target(data: Tables, source: str, extends: str = "") -> Target:
    """Make a target of complete tables.

    Raises:
        UsageError: for an unknown key or value, or a dangling name of a spec.
    """
    return _Reader(data, source, extends).target()


@dataclass(frozen=True)
class _Reader:
    data: Tables
    source: str
    extends: str

    def target(self) -> Target:
        data = self.data
        specs = {n: QuantSpec.from_data(n, d, self.source) for n, d in data.get("spec", {}).items()}
        ops = {kind: self._rule(kind, rule, specs) for kind, rule in data.get("op", {}).items()}
        producers, ends = dict(data.get("producer", {})), dict(data.get("ends", {}))
        given = [data["inputs"]] if data.get("inputs") else []
        for name in [*producers.values(), *ends, *ends.values(), *given]:
            self._known(name, specs)
        for fault in data.get("avoids", ()):
            if fault not in AVOIDABLE:
                raise unknown("fault to avoid", fault, AVOIDABLE, where=self.source)
        if data.get("bias", "int32") not in BIASES:
            raise unknown("type of a bias", data["bias"], BIASES, where=self.source)
        if data.get("float16", "storage") not in HALVES:
            raise unknown("use of float16", data["float16"], HALVES, where=self.source)
        self._kinds([*ops, *producers, *data.get("absorbs", ()), *data.get("fuses", ())])
        low, high = self._opsets()
        return Target(
            name=data["name"],
            summary=data.get("summary", ""),
            opset=data.get("opset", 20),
            opset_range=(low, high),
            runtimes=tuple(data.get("runtimes", ("onnxruntime",))),
            machines=tuple(data.get("machines", ())),
            specs=specs,
            ops=ops,
            producers=producers,
            inputs=data.get("inputs") or None,
            ends=ends,
            absorbs=tuple(data.get("absorbs", ())),
            fuses=tuple(data.get("fuses", ())),
            avoids=tuple(data.get("avoids", ())),
            rules=tuple(data.get("rules", ())),
            bias=data.get("bias", "int32"),
            prepare=tuple(data.get("prepare", ())),
            float16=data.get("float16", "storage"),
            legalize=tuple(data.get("legalize", ())),
            costs=CostTable.from_data(data.get("cost", {}), self.source),
            extends=self.extends,
            source=self.source,
            tables=data,
        )

    def _kinds(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in KINDS:
                raise unknown("kind of operator", name, KINDS, where=self.source)

    def _opsets(self) -> tuple[int, int]:
        low, high = self.data.get("opset-range", (17, 21))
        if low > high:
            raise UsageError(
                f"opset-range [{low}, {high}] is empty",
                where=self.source,
                hint=f"opset-range = [{high}, {low}]",
            )
        opset = self.data.get("opset", 20)
        if not low <= opset <= high:
            raise UsageError(
                f"opset {opset} is not in opset-range [{low}, {high}]",
                where=self.source,
                hint="change one of the two; a target that extends another has its opset-range",
            )
        return low, high

    def _rule(self, kind: str, rule: Any, specs: Mapping[str, QuantSpec]) -> OpRule:
        if not isinstance(rule, dict):
            raise UsageError(f"[op.{kind}] is no table", where=self.source)
        for key in rule:
            if key not in RULE_KEYS:
                raise unknown(f"key of [op.{kind}]", key, RULE_KEYS, where=self.source)
        mode = rule.get("mode", "always")
        if mode not in MODES:
            raise unknown(f"mode of [op.{kind}]", mode, MODES, where=self.source)
        inputs, output = dict(rule.get("inputs", {})), rule.get("output")
        known = tensors_of(kind)
        for name in inputs:
            if known and name not in known:
                raise unknown(f"argument in [op.{kind}.inputs]", name, known, where=self.source)
        if rule.get("least-channels", 0) < 0:
            raise UsageError(f"least-channels of [op.{kind}] is negative", where=self.source)
        for name in [*inputs.values(), *([output] if output else [])]:
            self._known(name, specs)
        return OpRule(
            inputs,
            output,
            mode,
            least_channels=rule.get("least-channels", 0),
            float_output=rule.get("float-output", False),
            no_zero_point=rule.get("no-zero-point", False),
        )

    def _known(self, name: str, specs: Mapping[str, QuantSpec]) -> None:
        if name not in specs:
            raise unknown("quantization spec", name, specs, where=self.source)
