"""Options that several subcommands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rewrite.pass_spec import parse_passes
from rewrite.request import DEFAULT_TARGET, Request

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
    command = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")(command)
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


def make_host(plugin_files: tuple[str, ...], block: tuple[str, ...]) -> PluginHost:
    """Load the plugins."""
    from rewrite.plugin_host import PluginHost

    return PluginHost(block=block, plugins=plugin_files)


def make_request(model: str, **given: Any) -> Request:
    """Build a request from --passes, --preset, --target and whatever else is given."""
    listed = given.pop("passes")
    return Request(
        model,
        passes=None if listed is None else tuple(parse_passes(listed)),
        target=given.pop("target") or DEFAULT_TARGET,
        **given,
    )
