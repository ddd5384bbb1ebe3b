"""What a compilation works on: a model, its passes, a target's layout, batches to compare on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from rewrite.capture import split_inputs
from rewrite.descriptors import Model
from rewrite.draws import Inputs
from rewrite.errors import UsageError
from rewrite.fixed_sizes import FixedSizes
from rewrite.model_file import guard_model, load_model_file
from rewrite.options import build
from rewrite.pass_spec import PassSpec, parse_passes
from rewrite.passes import Context, Pass
from rewrite.pipeline import order_passes, run_passes
from rewrite.plugin_host import PluginHost
from rewrite.program import Program
from rewrite.quantization.batches import check_batch
from rewrite.request import DEFAULT_PRESET, Request, Result
from rewrite.talk import Talk
from rewrite.target import Target

_BATCHES_COMPARED = 4
"""Calibration batches that a file is run on beside the example inputs."""


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
    program: Program, target: Target, host: PluginHost, context: Context, *, checked: bool
) -> Program:
    """Bring a program into the layout that a target's kernels want."""
    specs = [spec for text in target.legalize for spec in parse_passes(text)]
    passes = build_passes(host, specs)
    done = run_passes(program, passes, context, origin=host.pass_origin, checked=checked)
    return done.program


def check_batches(
    description: Model, program: Program, limit: int = _BATCHES_COMPARED
) -> list[Inputs]:
    """Return the example inputs and the first calibration batches, to compare runtimes on."""
    inputs = [program.example]
    if description.calibration is not None:
        for number, batch in enumerate(description.calibration(), start=1):
            args, kwargs = split_inputs(batch)
            check_batch(program, args, kwargs, f"calibration batch {number}")
            inputs.append((args, kwargs))
            if number == limit:
                break
    return inputs


def build_passes(host: PluginHost, specs: Sequence[PassSpec]) -> list[Pass]:
    """Build passes by name, with their options."""
    return [build(host.find_pass(s.name), s.name, dict(s.options)) for s in specs]
