"""Options that several subcommands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rewrite.errors import UsageError
from rewrite.named_files import check_distinct, split_model
from rewrite.pass_spec import parse_passes
from rewrite.request import DEFAULT_TARGET, LARGEST_SEED, CalibrationData, Request

if TYPE_CHECKING:
    from rewrite.plugin_host import PluginHost

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON value on stdout.")(
        command
    )


def plugin_options(command: F) -> F:
    """Add --plugin and --block."""
    command = click.option(
        "--block", multiple=True, metavar="NAME", help="Leave a plugin out. Repeatable."
    )(command)
    return click.option(
        "--plugin",
        "plugin_files",
        multiple=True,
        metavar="FILE",
        help="Load a plugin from a file or a module. Repeatable.",
    )(command)


def talk_options(command: F) -> F:
    """Add -v and -q."""
    command = click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")(
        command
    )
    return click.option(
        "-v", "--verbose", is_flag=True, help="Show tracebacks and what libraries print."
    )(command)


def pass_options(command: F) -> F:
    """Add --passes, --preset and --target."""
    command = click.option(
        "--target", metavar="NAME", help="Where the file will run.  [default: portable]"
    )(command)
    command = click.option(
        "--preset", metavar="NAME", help="A named set of passes, ordered for you: float, int8 ..."
    )(command)
    return click.option(
        "--passes",
        metavar="LIST",
        help="Passes in your order: NAME,NAME{option=value,...}.",
    )(command)


def size_options(command: F) -> F:
    """Add --fix and --static."""
    command = click.option(
        "--static", is_flag=True, help="Fix every dynamic size to the one of the example inputs."
    )(command)
    return click.option(
        "--fix",
        metavar="NAME=SIZE,...",
        callback=read_sizes,
        help="Fix dynamic sizes, such as batch=1,tokens=128.",
    )(command)


def calibration_options(command: F) -> F:
    """Add --calibration, --calibration-cache, and how images are read."""
    command = click.option(
        "--std", metavar="S,...", callback=_numbers, help="What they are then divided by."
    )(command)
    command = click.option(
        "--mean",
        metavar="M,...",
        callback=_numbers,
        help="Taken from images in [0, 1]: one number, or one for each channel.",
    )(command)
    command = click.option(
        "--image-size",
        metavar="HxW",
        callback=_size,
        help="Size that images are resized to.  [default: the example's]",
    )(command)
    command = click.option(
        "--calibration-cache",
        metavar="FILE",
        help="Keep what calibration has learnt, and go on from there when it was stopped.",
    )(command)
    return click.option(
        "--calibration",
        metavar="PATH",
        help="Data in place of calibration(): .npz, a folder of .npy or images, zoo:NAME.",
    )(command)


def make_calibration(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a request that --calibration and its companions say.

    Raises:
        UsageError: for options of images without --calibration.
    """
    images = {name: given[name] for name in ("image_size", "mean", "std") if given[name]}
    if given["calibration"] is None and images:
        name = next(iter(images)).replace("_", "-")
        raise UsageError(f"--{name} is for images", hint="--calibration FOLDER")
    data = given["calibration"] and CalibrationData(given["calibration"], **images)
    cache = given["calibration_cache"]
    return {"calibration": data, "calibration_cache": Path(cache) if cache else None}


def run_options(command: F) -> F:
    """Add --seed, --device and the options of calibration: whatever decides what passes do."""
    command = calibration_options(command)
    command = click.option(
        "--device",
        type=click.Choice(["cpu", "cuda"]),
        default="cpu",
        help="Where calibration runs.",
    )(command)
    return click.option(
        "--seed",
        type=click.IntRange(0, LARGEST_SEED),
        metavar="INTEGER",
        help="Seed of everything random.  [default: 0]",
    )(command)


def make_run(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a request that `run_options` say, without a seed that was not given.

    Raises:
        UsageError: for data that are not there, or a cache that cannot be written.
    """
    fields = {"device": given["device"], **make_calibration(given)}
    if given["seed"] is not None:
        fields["seed"] = given["seed"]
    if fields["calibration_cache"] is not None:
        from rewrite.destination import check_writable

        check_writable(fields["calibration_cache"], "calibration")
    if fields["calibration"] is not None:
        from rewrite.calibration_data import check_data

        check_data(fields["calibration"])
    return fields


def make_host(plugin_files: tuple[str, ...], block: tuple[str, ...]) -> PluginHost:
    """Load the plugins."""
    from rewrite.plugin_host import PluginHost

    return PluginHost(block=block, plugins=plugin_files)


def make_request(model: str, **given: Any) -> Request:
    """Build a request from --passes, --preset, --target and whatever else is given.

    Raises:
        UsageError: when two of the files that are written and read are the same.
    """
    listed, recipes = given.pop("passes"), given.pop("recipes", {})
    target, data = given.pop("target"), given.get("calibration")
    check_distinct(
        {
            "the output": given.get("output"),
            **recipes,
            "the calibration cache": given.get("calibration_cache"),
            "the calibration data": data and Path(data.path),
            "the model file": Path(split_model(model)[0]),
        }
    )
    return Request(
        model,
        passes=None if listed is None else tuple(parse_passes(listed)),
        target=DEFAULT_TARGET if target is None else target,
        **given,
    )


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Read 0.5 or 0.485,0.456,0.406."""
    try:
        numbers = tuple(float(part) for part in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter(
            f"'{value}' is not numbers, like 0.5,0.5,0.5", ctx, param
        ) from None
    if param.name == "std" and not all(number > 0 for number in numbers):
        raise click.BadParameter(f"'{value}' is not positive", ctx, param)
    return numbers


def read_sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, int]:
    """Read batch=1,tokens=128."""
    sizes: dict[str, int] = {}
    for part in value.split(",") if value else ():
        name, _, size = (text.strip() for text in part.partition("="))
        if not name or not size.isdigit() or int(size) < 1:
            raise click.BadParameter(f"'{part}' is not a size, like batch=1", ctx, param)
        sizes[name] = int(size)
    return sizes


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Read 224x224, or 224 for both."""
    if value is None:
        return None
    parts = value.split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"'{value}' is not a size, like 224x224", ctx, param)
    return int(parts[0]), int(parts[-1])
