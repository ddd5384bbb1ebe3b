"""What the weights of a program take in the file that it would be lowered to."""

from __future__ import annotations

import math

from rewrite.artifact import table_of
from rewrite.job import legalize
from rewrite.lowering.lower import lower
from rewrite.passes import Context
from rewrite.plugin_host import PluginHost
from rewrite.program import Program
from rewrite.request import Request
from rewrite.steering import choose_opset, faults_of, steer_specs
from rewrite.talk import Talk
from rewrite.target import Target


def legalized(program: Program, request: Request, host: PluginHost) -> Program:
    """Return a program as the target of a request wants it, unchecked.

    Raises:
        RewriteError: when one of the target's passes refuses it.
    """
    target = _target(request, host)
    return legalize(program, target, host, Context(target=target), checked=False).program


def stored_bytes(program: Program, request: Request, host: PluginHost) -> int:
    """Lower a legalized program as a request would, and count what all weights of the file take.

    Raises:
        RewriteError: when the exporter refuses the program.
    """
    target = _target(request, host)
    opset = choose_opset(request.opset, target, faults_of(target, host.faults()), Talk())
    model = lower(program, opset, table_of(host.lowerings(), target.name), {}, target.avoids).model
    values = (value.const_value for value in model.graph.initializers.values())
    return sum(math.ceil(value.nbytes) for value in values if value is not None)


def _target(request: Request, host: PluginHost) -> Target:
    target = host.find_target(request.target)
    return steer_specs(target, faults_of(target, host.faults()), Talk())
