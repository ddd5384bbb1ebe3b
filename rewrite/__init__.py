"""A plugin-based graph-rewriting compiler for PyTorch: the public names of plugin authors."""

from __future__ import annotations

from importlib import metadata as _metadata

from rewrite.capture import capture
from rewrite.descriptors import Calibrator, Lowering, Model, PassObserver, Preset
from rewrite.emitter import Emitter
from rewrite.errors import CaptureError, CheckError, PluginError, RewriteError, UsageError
from rewrite.hookspecs import hookimpl
from rewrite.options import option
from rewrite.passes import Context, Outcome, Pass, Rejection
from rewrite.pattern import Const, Match, Maybe, OneOf, Op, Pattern, Var, Weight, only_user
from rewrite.program import Program
from rewrite.rules import Reject, Rule, RulePass, apply_rules
from rewrite.schema import argument, arguments, is_call
from rewrite.target import Target

try:
    __version__ = _metadata.version("rewrite-compiler")
except _metadata.PackageNotFoundError:  # running from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Calibrator",
    "CaptureError",
    "CheckError",
    "Const",
    "Context",
    "Emitter",
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
