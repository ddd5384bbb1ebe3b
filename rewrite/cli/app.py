"""The command `rewrite`: its subcommands, `run` implied, and what it exits with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

import rewrite
from rewrite.cli import failures
from rewrite.cli.check import check
from rewrite.cli.compare_runtimes import compare_runtimes
from rewrite.cli.explain import explain
from rewrite.cli.inspect import inspect
from rewrite.cli.new_plugin import new_plugin
from rewrite.cli.passes import passes
from rewrite.cli.plugins import plugins
from rewrite.cli.run import run
from rewrite.cli.show import show
from rewrite.cli.targets import targets
from rewrite.cli.zoo import zoo
from rewrite.errors import UsageError, nearest

_HELP = ("-h", "--help", "--version")

_EPILOG = """\b
Examples:
  rewrite model.py --preset int8 -o model.onnx
  rewrite zoo:vit-digits --passes fold-batch-norm,remove-dead-code -o vit.onnx
  rewrite explain model.py --passes fold-batch-norm

MODEL is path/model.py, path/model.py:factory or zoo:NAME. Exit codes: 0 done; 1 a check failed
or the model could not be captured, and nothing was written; 2 wrong usage; 3 a plugin that was
asked for could not load or failed.
"""


class App(click.Group):
    """The group of all subcommands; what is no subcommand is a model to run."""

    def main(  # type: ignore[override]  # this one always exits, in every mode
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run the command line and exit with its code."""
        arguments = list(sys.argv[1:] if args is None else args) or ["--help"]
        extra["standalone_mode"] = False
        call = super().main
        sys.exit(failures.guard(lambda: call(arguments, "rewrite", **extra), arguments))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before a model or before options that are not the group's own."""
        if args and args[0] not in _HELP and (args[0].startswith("-") or _is_model(args[0])):
            named = next((a for a in args if a in self.commands), None)
            if named and not any(_is_model(a) for a in args):
                rest = " ".join(a for a in args if a != named)
                raise UsageError("options go behind the command", hint=f"rewrite {named} {rest}")
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a subcommand.

        Raises:
            UsageError: for a name that is no subcommand, with the nearest one.
        """
        if args[0] not in self.commands:
            near = nearest(args[0], self.commands)
            raise UsageError(
                f"unknown command '{args[0]}'",
                hint=f"did you mean 'rewrite {near}'?"
                if near
                else "a model is path/model.py or zoo:NAME; for the commands: rewrite --help",
            )
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands in the order people meet them."""
        return list(self.commands)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show both ways to call."""
        formatter.write_usage("rewrite", "MODEL [OPTIONS]", "Usage: ")
        formatter.write_usage("rewrite", "COMMAND [OPTIONS]", "       ")


def _is_model(text: str) -> bool:
    head = text.rpartition(":")[0]
    return (
        text.startswith("zoo:")
        or text.endswith(".py")
        or head.endswith(".py")
        or "/" in text
        or Path(text).is_file()
    )


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"rewrite {rewrite.__version__}")
        ctx.exit()


@click.group(
    cls=App,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Turn a PyTorch model into a smaller, faster ONNX file that is checked to do its job.

    Without a command, MODEL is compiled: `rewrite MODEL ...` is `rewrite run MODEL ...`.
    """


for _command in (
    run,
    passes,
    plugins,
    targets,
    zoo,
    show,
    explain,
    inspect,
    check,
    compare_runtimes,
    new_plugin,
):
    main.add_command(_command)
