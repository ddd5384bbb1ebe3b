"""Known bad combinations of a runtime's version, an opset and a type, as data read from TOML."""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rewrite.errors import UsageError, unknown
from rewrite.quantization.spec import QuantSpec
from rewrite.runtimes import NAMES
from rewrite.target import AVOIDABLE, Target
from rewrite.target_values import check_spec
from rewrite.toml_text import read_toml

ROLES = ("activation", "weight", "operand")
"""What a spec is used for: by layers, for their weights, in products of activations."""
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_TYPES = {"spec": dict, "use": dict, "opset": list, "machines": list, "seen": list}
"""Of the keys that hold no text."""
_CALLED: dict[type, str] = {dict: "a table", list: "a list", str: "text"}
_VERSION = re.compile(r"\d+(\.\d+)*")
_CONDITION = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)\s*")


@dataclass(frozen=True)
class Fault:
    """One combination that does not work, and what the compiler does about it.

    Raises:
        UsageError: for a runtime, role, key or fault to avoid that is not known, and for versions
            or opsets that cannot be.
    """

    name: str
    runtime: str
    symptom: str
    """What happens, as the end of a sentence that starts with the runtime's name."""
    versions: str = ""
    """Where it is avoided: conditions such as `>=1.31,<1.40`; empty is any version."""
    seen: tuple[str, ...] = ()
    """The first and the last version that it was shown on; empty if nobody wrote them down."""
    machines: tuple[str, ...] = ()
    """Processors it is seen on, as `platform.machine()` names them; empty is any."""
    opset: tuple[int, int] | None = None
    """Opsets, from and to, that it is seen at; None is any."""
    role: str = ""
    """What a spec must be used for, of `ROLES`."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Values that such a spec has, by the keys of a target's [spec.NAME]."""
    use: Mapping[str, Any] = field(default_factory=dict)
    """Values to give it instead."""
    avoid: str = ""
    """What a target lists in `avoids` to have files written around it."""
    does: str = ""
    """What the compiler does, for people."""
    source: str = ""
    """Where it is reported, or how it was measured."""

    def __post_init__(self) -> None:
        try:
            self._check()
        except UsageError as error:
            raise UsageError(f"fault '{self.name}': {error.what}", hint=error.hint) from None

    def _check(self) -> None:
        if self.runtime not in NAMES:
            raise unknown("runtime", self.runtime, NAMES)
        if self.role and self.role not in ROLES:
            raise unknown("role of a spec", self.role, ROLES)
        if self.avoid and self.avoid not in AVOIDABLE:
            raise unknown("fault to avoid", self.avoid, AVOIDABLE)
        if self.opset is not None and not _is_range(self.opset):
            raise UsageError(f"opset {self.opset} is no range", hint="from and to: (21, 25)")
        matches("", self.versions)
        self._check_seen()
        # Without a type it is that of the target's spec, to which a range is held later.
        dtype = self.spec.get("dtype", "int32")
        for part in (self.spec, self.use):
            name = "spec" if part is self.spec else "use"
            QuantSpec.from_data(name, {"dtype": dtype, **part}, "")
        if self.use and not self.role:
            raise UsageError("it changes the specs of no role", hint=f"role: {', '.join(ROLES)}")
        if self.use and self.opset is not None:
            raise UsageError(
                "it changes an opset and a type: each alone is a way around",
                hint="leave out opset, or use",
            )

    def _check_seen(self) -> None:
        if not self.seen:
            return
        if len(self.seen) != 2 or not all(_VERSION.fullmatch(each) for each in self.seen):
            raise UsageError(
                f"seen {self.seen} is no range", hint='from and to: ("1.31.1", "1.32")'
            )
        if not self.was_seen_on(self.seen[0]):
            raise UsageError(f"seen {self.seen} is no range", hint="the older version comes first")
        for version in self.seen:
            if not matches(version, self.versions):
                raise UsageError(
                    f"it was seen on {version}, where it is not avoided",
                    hint=f"versions {self.versions}: widen it, or seen is wrong",
                )

    def was_seen_on(self, version: str) -> bool:
        """Tell whether a version lies in the range that it was shown on."""
        if not self.seen:
            return False
        first, last = self.seen
        return matches(version, f">={first},<={last}")

    def concerns(self, target: Target, version: str) -> bool:
        """Tell whether a target runs into it, where a version of the runtime is installed.

        Args:
            target: with everything it inherits.
            version: of the runtime; empty if it is not installed, so that any may come.
        """
        machines = set(self.machines) & set(target.machines)
        if self.runtime not in target.runtimes or not matches(version, self.versions):
            return False
        if self.machines and target.machines and not machines:
            return False
        if self.avoid:
            return True
        return not self.role or bool(self.specs_of(target))

    def specs_of(self, target: Target) -> list[str]:
        """Return the names of the specs of a target that it is about."""
        wanted = QuantSpec.fields_of(self.spec)
        found = []
        for name in specs_by_role(target).get(self.role, ()):
            spec = target.specs[name]
            if all(getattr(spec, key) == value for key, value in wanted.items()):
                found.append(name)
        return found

    @property
    def is_about_opset(self) -> bool:
        """Whether another opset is the way around it."""
        return self.opset is not None and not self.use and not self.avoid


def matches(version: str, conditions: str) -> bool:
    """Tell whether a version such as `1.31.1` fits conditions such as `>=1.31,<1.40`.

    Args:
        version: its numbers count, up to the first part that is none; empty fits everything.
        conditions: joined by commas; `==1.31` is that number alone.

    Raises:
        UsageError: for conditions of another form.
    """
    for part in filter(None, conditions.split(",")):
        found = _CONDITION.fullmatch(part)
        if found is None:
            raise UsageError(f"'{part}' is no condition on versions", hint="such as >=1.31,<1.40")
        if version and not _COMPARE[found[1]](*_padded(_numbers(version), _numbers(found[2]))):
            return False
    return True


def _is_range(opset: Any) -> bool:
    """Tell whether a value is two whole numbers, the smaller one first."""
    pair = isinstance(opset, tuple) and len(opset) == 2
    return pair and all(type(number) is int for number in opset) and opset[0] <= opset[1]


def _numbers(version: str) -> tuple[int, ...]:
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in leading[0].split(".")) if leading else ()


def _padded(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give both as many numbers as the longer one has; what a condition leaves out is 0."""
    size = max(len(a), len(b))
    return a + (0,) * (size - len(a)), b + (0,) * (size - len(b))


def specs_by_role(target: Target) -> dict[str, list[str]]:
    """Return the names of a target's calibrated specs by what its rules use them for."""
    found: dict[str, list[str]] = {role: [] for role in ROLES}
    for kind, rule in target.ops.items():
        for argument, name in rule.inputs.items():
            role = "weight" if argument == "weight" else "activation"
            found["operand" if kind == "matmul" else role].append(name)
        if rule.output:
            found["activation"].append(rule.output)
    for names in found.values():
        names += [target.ends[name] for name in names if name in target.ends]
    return {
        role: [name for name in dict.fromkeys(names) if not target.specs[name].is_fixed]
        for role, names in found.items()
    }


def parse_faults(text: str, source: str = "") -> list[Fault]:
    """Read the tables [[fault]] of a TOML file.

    Raises:
        UsageError: for text that is no TOML, an unknown key or a value that cannot be.
    """
    data = read_toml(text, "the file of faults", source)
    tables = data.get("fault", [])
    if not isinstance(tables, list):
        raise UsageError(
            "fault is no list of tables", where=source, hint="write [[fault]] above it"
        )
    return [_fault(table, source) for table in tables]


def _fault(table: Any, source: str) -> Fault:
    keys = {f.name for f in dataclasses.fields(Fault)}
    if not isinstance(table, dict):
        raise UsageError("a fault is no table", where=source, hint="write [[fault]] above it")
    for key in table:
        if key not in keys:
            raise unknown("key of a fault", key, keys, where=source)
    for key in ("name", "runtime", "symptom"):
        if key not in table:
            raise UsageError(f"a fault needs a {key}", where=source)
    for key, value in table.items():
        wanted = _TYPES.get(key, str)
        if not isinstance(value, wanted):
            what = f"{key} of a fault is {value!r}, not {_CALLED[wanted]}"
            raise UsageError(what, where=source)
    for key in ("spec", "use"):
        check_spec(table.get(key, {}), key, source)
    for key in ("machines", "seen"):
        if not all(isinstance(each, str) for each in table.get(key, ())):
            raise UsageError(f"{key} of a fault: not a list of text", where=source)
    made = dict(table)
    for key in ("opset", "machines", "seen"):
        if isinstance(made.get(key), list):
            made[key] = tuple(made[key])
    try:
        return Fault(**made)
    except UsageError as error:
        raise UsageError(error.what, where=source, hint=error.hint) from None


def concerning(faults: Iterable[Fault], target: Target, versions: Mapping[str, str]) -> list[Fault]:
    """Return the faults that a target runs into, with these versions of runtimes."""
    return [f for f in faults if f.concerns(target, versions.get(f.runtime, ""))]
