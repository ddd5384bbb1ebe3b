"""`rewrite MODEL ...`: compile a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from rewrite.cli.budget import read_budget, within_budget
from rewrite.cli.console import working
from rewrite.cli.measure import choose_fastest
from rewrite.cli.options import (
    json_option,
    make_host,
    make_request,
    make_run,
    pass_options,
    plugin_options,
    run_options,
    size_options,
    talk_options,
)
from rewrite.cli.output import show_json
from rewrite.cli.summary import show_summary
from rewrite.destination import check_output, check_writable
from rewrite.errors import UsageError, nearest

if TYPE_CHECKING:
    from rewrite.budget import Assignment
    from rewrite.measure import Choice
    from rewrite.recipe import Recipe
    from rewrite.request import Request, Result
    from rewrite.talk import Talk


def _percent(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read 95 or 95%."""
    if value is None:
        return None
    try:
        share = float(value.removesuffix("%"))
    except ValueError:
        raise click.BadParameter(f"'{value}' is not a percentage, like 95%", ctx, param) from None
    if not 0 <= share <= 100:
        raise click.BadParameter(f"'{value}' is not between 0% and 100%", ctx, param)
    return share


def _runtimes(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Read onnxruntime,openvino."""
    if value is None:
        return None
    from rewrite.runtimes import NAMES

    names = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    for name in names:
        if name not in NAMES:
            near = nearest(name, NAMES)
            guess = f"did you mean {near}? " if near else ""
            known = ", ".join(NAMES)
            raise click.BadParameter(f"'{name}' is no runtime; {guess}known: {known}", ctx, param)
    return names


@click.command("run", short_help="Compile a model (implied: rewrite MODEL ...).")
@click.argument("model", metavar="MODEL")
@pass_options
@click.option("-o", "--output", metavar="FILE", help="What to write: NAME.onnx or NAME.pt2.")
@click.option("--recipe", metavar="FILE", help="Read passes, target, opset and seed from a file.")
@click.option("--write-recipe", metavar="FILE", help="Write the recipe that reproduces this run.")
@click.option("--opset", type=int, help="ONNX opset.  [default: the target's]")
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=0,
    help="Threads of torch and the runtimes; 0 is their own choice.",
)
@size_options
@run_options
@click.option(
    "--checks",
    type=click.Choice(["strict", "report", "off"]),
    default="strict",
    help="strict: a file that disagrees is not written; report: it is; off: passes go unchecked.",
)
@click.option(
    "--min-sqnr",
    type=float,
    metavar="DB",
    help="Smallest agreement of the file's worst output with the eager model.  "
    "[default: 10 if passes round, 40 if float16, else 60]",
)
@click.option(
    "--runtimes",
    callback=_runtimes,
    metavar="NAME,...",
    help="Runtimes that must run the file and agree.  [default: all installed ones of the target]",
)
@click.option(
    "--require-int8",
    callback=_percent,
    metavar="PERCENT",
    help="Fail when a smaller share runs in int8, of all nodes that read weights or integers.",
)
@click.option(
    "--budget",
    callback=read_budget,
    metavar="DB|SIZE",
    help="Choose each layer's precision: 35dB of the outputs, 12MB or 0.3x of weights, 35dB,12MB.",
)
@click.option(
    "--measure",
    is_flag=True,
    help="Time layers as int8 and as float on this machine, and keep what is faster.",
)
@click.option("--evaluate/--no-evaluate", default=True, help="Run the model's evaluate().")
@click.option("--latency", is_flag=True, help="Time the file beside a float file of the model.")
@click.option("--dry-run", is_flag=True, help="Run and check the passes; lower and write nothing.")
@plugin_options
@json_option
@talk_options
def run(model: str, **given: Any) -> None:
    """Compile MODEL: capture it, run passes, lower it, check the file on real runtimes.

    MODEL is path/model.py, path/model.py:factory or zoo:NAME. Without --passes, --preset and
    --recipe, the preset `float` runs: everything that is exact.
    """
    with working(quiet=given["quiet"], verbose=given["verbose"]) as talk:
        result, recipe, found = _run(model, given, talk)
    if given["as_json"]:
        told = {name: each.as_json() for name, each in found.items()}
        show_json({**result.as_json(), "measure": None, "budget": None, **told})
    else:
        show_summary(result, recipe, cast("Assignment | None", found.get("budget")))


def _run(
    model: str, given: dict[str, Any], talk: Talk
) -> tuple[Result, Path | None, dict[str, Assignment | Choice]]:
    """Return what was compiled, its recipe, and what --measure and --budget found."""
    output, recipe = _output(model, given), _wanted_recipe(given)
    if not (given["passes"] is not None or given["preset"] or given["recipe"]):
        talk.step("no --passes or --preset: running --preset float (for 8 bits: --preset int8)")
    if recipe is not None:
        check_writable(recipe, "recipe.toml")
    request = _request(model, given, output)
    check_output(request)
    from rewrite.compile import compile_model

    host = make_host(given["plugin_files"], given["block"])
    found: dict[str, Assignment | Choice] = {}
    if given["measure"]:
        found["measure"] = choose_fastest(request, host, talk)
        request = found["measure"].request
    if given["budget"] is not None:
        found["budget"] = within_budget(request, host, talk, given["budget"])
        request = found["budget"].request
    result = compile_model(request, host, talk, recipe)
    return result, recipe, found


def _wanted_recipe(given: dict[str, Any]) -> Path | None:
    wanted = given["write_recipe"]
    return Path(wanted) if wanted and not given["dry_run"] else None


def _recipes(given: dict[str, Any]) -> dict[str, Path]:
    """Return the files of --write-recipe and --recipe; one run may read and renew the same."""
    written, read = _wanted_recipe(given), given["recipe"]
    found = {} if written is None else {"the recipe to write": written}
    if read and not (written is not None and written == Path(read)):
        found["the recipe"] = Path(read)
    return found


def _output(model: str, given: dict[str, Any]) -> Path | None:
    if given["dry_run"]:
        return None
    if given["output"] is None:
        name = Path(model.removeprefix("zoo:").rpartition(".py")[0] or model).name
        raise UsageError(
            "where shall the file go?",
            hint=f"-o {name.removeprefix('zoo:')}.onnx, or --dry-run to write nothing",
        )
    return Path(given["output"])


def _request(model: str, given: dict[str, Any], output: Path | None) -> Request:
    recipe = _recipe(given)
    target, opset = given["target"], given["opset"]
    seed = {} if recipe is None or recipe.seed is None else {"seed": recipe.seed}
    passes = given["passes"]
    request = make_request(
        model,
        passes=passes,
        preset=given["preset"],
        target=target if target is not None or recipe is None else recipe.target,
        output=output,
        recipes=_recipes(given),
        opset=opset if opset is not None or recipe is None else recipe.opset,
        **{**seed, **make_run(given)},
        fix={**(recipe.fix if recipe else {}), **given["fix"]},
        static=given["static"],
        threads=given["threads"],
        checks=given["checks"],
        min_sqnr=given["min_sqnr"],
        runtimes=given["runtimes"],
        require_int8=given["require_int8"],
        evaluate=given["evaluate"],
        latency=given["latency"],
    )
    if recipe is None:
        return request
    return replace(request, passes=recipe.passes)


def _recipe(given: dict[str, Any]) -> Recipe | None:
    if not given["recipe"]:
        return None
    if given["passes"] is not None or given["preset"]:
        raise UsageError(
            "a recipe lists the passes: give it alone", hint="leave out --passes and --preset"
        )
    from rewrite.recipe import read_recipe

    return read_recipe(Path(given["recipe"]))
