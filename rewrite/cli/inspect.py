"""`rewrite inspect`: where a quantized model loses its accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rewrite.cli.console import working
from rewrite.cli.options import (
    json_option,
    make_host,
    make_request,
    make_run,
    pass_options,
    plugin_options,
    run_options,
    talk_options,
)
from rewrite.cli.output import say, show_json, show_table
from rewrite.errors import UsageError
from rewrite.talk import Talk

if TYPE_CHECKING:
    from rewrite.losses import Inspection
    from rewrite.plugin_host import PluginHost
    from rewrite.request import Request

_SHOWN = 20


@click.command(
    "inspect", short_help="Show which quantized layers cost the most, and what mends it."
)
@click.argument("subject", metavar="OUT.onnx|MODEL")
@click.option("--against", metavar="MODEL", help="The model that OUT.onnx was made from.")
@click.option(
    "--batches",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Calibration batches to measure on, beside the example inputs.",
)
@click.option("--all", "show_all", is_flag=True, help=f"Show every layer, not the {_SHOWN} worst.")
@pass_options
@run_options
@plugin_options
@json_option
@talk_options
def inspect(subject: str, **given: Any) -> None:
    """Measure what every quantized layer costs: of OUT.onnx, or of MODEL with these passes.

    Ratios are signal to quantization noise in dB, higher is better: of a layer's weight, of what it
    reads, of its result on exact inputs, of the model's outputs when it alone is quantized (the
    order of the table), and of its result when everything is. The last line is an override that
    ends most of the loss, and what the outputs have with it, tried out.
    """
    with working(quiet=given["quiet"], verbose=given["verbose"]) as talk:
        request = _request(subject, given)
        from rewrite.inspection import inspect_model

        host = make_host(given["plugin_files"], given["block"])
        found = inspect_model(request, host, talk, batches=given["batches"])
        advice = _advise(found, request, host, talk, given["batches"])
    if given["as_json"]:
        show_json(_as_json(found, request, advice))
    else:
        _show(found, advice, None if given["show_all"] else _SHOWN)


def _advise(
    found: Inspection, request: Request, host: PluginHost, talk: Talk, batches: int
) -> Advice | None:
    """Try the override that should help, and return it with what it gives; None if it does not."""
    suggestion = found.suggestion()
    if suggestion is None or found.total.db is None:
        return None
    from rewrite.inspection import measure_outputs
    from rewrite.job import choose_passes
    from rewrite.overrides import Overridable

    talk.step("try the override")
    overridable = Overridable(request, choose_passes(host, request))
    # What a calibration cache holds is of the program without these overrides.
    given = overridable.request_with([*overridable.given, *suggestion[0]])
    trial = replace(given, calibration_cache=None)
    reached = measure_outputs(trial, host, Talk(), batches=batches).db
    if reached is not None and reached <= found.total.db:
        return None
    return Advice(overridable.taker.name, tuple(suggestion[0]), reached)


@dataclass(frozen=True)
class Advice:
    """Overrides that were tried."""

    taker: str
    """The pass that takes them."""
    overrides: tuple[str, ...]
    db: float | None
    """What the outputs have with them; None where nothing is lost any more."""


def _request(subject: str, given: dict[str, Any]) -> Request:
    if not subject.endswith(".onnx"):
        if given["against"]:
            raise UsageError("--against names the model of a file", hint="rewrite inspect OUT.onnx")
        preset = given["preset"] if given["passes"] is not None else given["preset"] or "int8"
        return make_request(
            subject,
            passes=given["passes"],
            preset=preset,
            target=given["target"],
            checks="off",
            **make_run(given),
        )
    if not given["against"]:
        raise UsageError("which model was the file made from?", hint="--against MODEL")
    if given["passes"] is not None or given["preset"]:
        raise UsageError("the file says which passes made it", hint="leave out --passes, --preset")
    from rewrite.pass_spec import PassSpec
    from rewrite.recheck import read_file

    _, made = read_file(Path(subject))
    if not {"ledger", "target", "seed"} <= made.keys():
        raise UsageError(
            f"'{subject}' was not made by rewrite", hint="inspect the model: rewrite inspect MODEL"
        )
    request = make_request(
        given["against"],
        passes=None,
        preset=None,
        target=given["target"] or made["target"],
        checks="off",
        **{"seed": made["seed"], **make_run(given)},
    )
    passes = tuple(PassSpec(entry["pass"], dict(entry["options"])) for entry in made["ledger"])
    return replace(request, passes=passes)


def _as_json(found: Inspection, request: Request, advice: Advice | None) -> dict[str, Any]:
    return {
        "model": request.model,
        "target": request.target,
        "output_db": found.total.db,
        "output": found.total.worst or None,
        "layers": [layer.as_json() for layer in found.layers],
        "suggestion": None
        if advice is None
        else {"override": list(advice.overrides), "measured_db": advice.db},
    }


def _show(found: Inspection, advice: Advice | None, most: int | None) -> None:
    rows = [
        (
            layer.layer if layer.layer != layer.node else "",
            layer.node,
            *(_db(loss.db) for loss in (layer.weight, layer.input, layer.own)),
            _db(layer.output.db),
            _db(layer.accumulated.db),
            layer.where,
        )
        for layer in found.layers[:most]
    ]
    columns = ("layer", "call", "weight", "input", "result", "outputs", "with all", "where")
    show_table(columns, rows)
    if most is not None and len(found.layers) > most:
        say(f"… and {len(found.layers) - most} more: --all")
    inside = f" in '{found.total.worst}'" if found.total.worst else ""
    say(f"\noutputs with everything quantized: {_db(found.total.db) or 'exact'} dB{inside}")
    if advice is not None:
        reached = "exact" if advice.db is None else f"{advice.db:.1f} dB"
        say(f"{reached} with {advice.taker}{{override={'+'.join(advice.overrides)}}}")


def _db(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
