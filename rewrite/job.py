"""What a compilation works on: a model, its passes, a target's layout, batches to compare on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from rewrite.descriptors import Model
from rewrite.errors import CheckError, UsageError
from rewrite.fingerprint import Fingerprint, fingerprints
from rewrite.fixed_sizes import FixedSizes
from rewrite.model_file import guard_model, load_model_file
from rewrite.options import build
from rewrite.pass_spec import PassSpec, parse_passes
from rewrite.passes import Context, Pass
from rewrite.pipeline import PassReport, PipelineResult, order_passes, run_passes
from rewrite.plugin_host import PluginHost
from rewrite.program import Program
from rewrite.request import DEFAULT_PRESET, Request, Result
from rewrite.talk import Talk
from rewrite.target import Target


@dataclass
class Job:
    """One compilation while it runs."""

    request: Request
    host: PluginHost
    talk: Talk
    description: Model
    target: Target
    context: Context
    result: Result
    eager: nn.Module
    fixed: FixedSizes
    weights: Fingerprint | None = None
    """Of the program as it was captured; None where nothing is checked."""

    def require_dynamic_sizes(self) -> None:
        """Make sure that no pass has fixed a size that is to be dynamic.

        Raises:
            CheckError: naming the first one.
        """
        fixed = self.program.fixed_sizes()
        if fixed:
            raise CheckError(
                f"the dynamic size '{fixed[0]}' was fixed on the way to the example's",
                hint=f"report the model; --fix {fixed[0]}=SIZE fixes it on purpose",
            )

    def require_same_weights(self) -> None:
        """Make sure that the model still has the weights it was captured with.

        The file is compared with the model, which would agree with a file that has the same fault.

        Raises:
            CheckError: naming the first weight that something wrote to.
        """
        assert self.result.captured is not None
        if self.weights is None:
            return
        changed = self.weights.changed_weights(fingerprints(self.result.captured)[0])
        if changed:
            raise CheckError(
                f"weight '{changed[0]}' of the model was written to after it was captured",
                hint="look for a plugin, calibration() or evaluate() that changes the model",
            )

    @property
    def lossy(self) -> bool:
        """Whether passes that round, or approximate, have changed the program."""
        reports = self.result.reports
        return any(r.difference and r.pass_.equivalence != "exact" for r in reports)

    @property
    def checked(self) -> bool:
        return self.request.checks != "off"

    @property
    def program(self) -> Program:
        assert self.result.program is not None
        return self.result.program


def find_model(host: PluginHost, text: str) -> Model:
    """Return the description of `zoo:NAME`, `path/model.py` or `path/model.py:factory`."""
    if text.startswith("zoo:"):
        return guard_model(host.find_model(text.removeprefix("zoo:")))
    return guard_model(load_model_file(text))


def choose_passes(host: PluginHost, request: Request) -> list[Pass]:
    """Build the passes of a request: a list given by hand keeps its order, a preset is ordered.

    A preset gets those that the target prepares with, where they come before one of its own.
    """
    if request.passes is not None and request.preset:
        raise UsageError("give --passes or --preset, not both")
    if request.passes is not None:
        return build_passes(host, request.passes)
    preset = host.find_preset(request.preset or DEFAULT_PRESET)
    passes = [host.find_pass(name) for name in preset.passes]
    options: dict[str, dict[str, Any]] = {}
    for text in host.find_target(request.target).prepare:
        for spec in parse_passes(text):
            found = host.find_pass(spec.name)
            if spec.name not in preset.passes and set(found.before) & set(preset.passes):
                passes.append(found)
                options[spec.name] = dict(spec.options)
    return [build(p, p.name, options.get(p.name, {})) for p in order_passes(passes)]


def legalize(
    program: Program,
    target: Target,
    host: PluginHost,
    context: Context,
    *,
    checked: bool,
    on_report: Callable[[PassReport], None] = lambda report: None,
) -> PipelineResult:
    """Bring a program into the layout that a target's kernels want."""
    specs = [spec for text in target.legalize for spec in parse_passes(text)]
    passes = build_passes(host, specs)
    return run_passes(
        program, passes, context, origin=host.pass_origin, checked=checked, on_report=on_report
    )


def build_passes(host: PluginHost, specs: Sequence[PassSpec]) -> list[Pass]:
    """Build passes by name, with their options."""
    return [build(host.find_pass(s.name), s.name, dict(s.options)) for s in specs]
