"""A plugin-based graph-rewriting compiler for PyTorch: the public names of plugin authors.

The names are imported on first use, so that `rewrite --help` does not wait for torch.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewrite.capture import capture
    from rewrite.descriptors import Calibrator, Lowering, Model, PassObserver, Preset
    from rewrite.emitter import Emitter
    from rewrite.errors import CaptureError, CheckError, PluginError, RewriteError, UsageError
    from rewrite.faults import Fault
    from rewrite.hookspecs import hookimpl
    from rewrite.options import option
    from rewrite.passes import Context, Outcome, Pass, Rejection
    from rewrite.pattern import Const, Match, Maybe, OneOf, Op, Pattern, Var, Weight, only_user
    from rewrite.program import Program
    from rewrite.rules import Reject, Rule, RulePass, apply_rules
    from rewrite.schema import argument, arguments, is_call
    from rewrite.target import Target

    __version__: str

__all__ = [
    "Calibrator",
    "CaptureError",
    "CheckError",
    "Const",
    "Context",
    "Emitter",
    "Fault",
    "Lowering",
    "Match",
    "Maybe",
    "Model",
    "OneOf",
    "Op",
    "Outcome",
    "Pass",
    "PassObserver",
    "Pattern",
    "PluginError",
    "Preset",
    "Program",
    "Reject",
    "Rejection",
    "RewriteError",
    "Rule",
    "RulePass",
    "Target",
    "UsageError",
    "Var",
    "Weight",
    "apply_rules",
    "argument",
    "arguments",
    "capture",
    "hookimpl",
    "is_call",
    "only_user",
    "option",
]

_NAMES = {
    "capture": "capture",
    "descriptors": "Calibrator Lowering Model PassObserver Preset",
    "emitter": "Emitter",
    "errors": "CaptureError CheckError PluginError RewriteError UsageError",
    "faults": "Fault",
    "hookspecs": "hookimpl",
    "options": "option",
    "passes": "Context Outcome Pass Rejection",
    "pattern": "Const Match Maybe OneOf Op Pattern Var Weight only_user",
    "program": "Program",
    "rules": "Reject Rule RulePass apply_rules",
    "schema": "argument arguments is_call",
    "target": "Target",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("rewrite-compiler")
    except metadata.PackageNotFoundError:  # running from a source tree that is not installed
        return "0+unknown"


if not TYPE_CHECKING:  # a checker would take every misspelt name for a lazy one

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            value = _version()
        elif name in _HOMES:
            value = getattr(importlib.import_module(f"rewrite.{_HOMES[name]}"), name)
        else:
            raise AttributeError(f"module 'rewrite' has no attribute '{name}'")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])


class _Package(types.ModuleType):
    """The package: importing the submodule `capture` must not hide the function `capture`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
