"""What the command line says and exits with when something goes wrong."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import click

from rewrite.cli.output import OutputError, say, show_json
from rewrite.errors import (
    RewriteError,
    Terminated,
    UsageError,
    first_line,
    nearest,
    raised_at,
)

INTERRUPTED = 130
TERMINATED = 143


def guard(call: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Call the command line and return the exit code, having told every failure."""
    verbose = _given(arguments, "--verbose", "v")
    as_json = "--json" in arguments
    try:
        code = call()
    except OutputError as error:
        _let_go_of_stdout()
        return tell(error, verbose=verbose)
    except RewriteError as error:
        return tell(error, as_json=as_json, verbose=verbose)
    except click.ClickException as error:
        return tell(_usage(error), as_json=as_json, verbose=verbose)
    except (click.Abort, KeyboardInterrupt):
        return _stopped("interrupted", INTERRUPTED)
    except Terminated:
        return _stopped("terminated", TERMINATED)
    except BrokenPipeError:
        _let_go_of_stdout()
        return 1
    except Exception as error:
        return tell(_bug(error), as_json=as_json, verbose=verbose)
    except BaseException as error:
        # Nothing of ours raises SystemExit and its like: a model's or a plugin's code does.
        return tell(_ended(error), as_json=as_json, verbose=verbose)
    return code if isinstance(code, int) else 0


def _let_go_of_stdout() -> None:
    """Keep Python from complaining once more when it flushes what nobody takes."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(error: RewriteError, *, as_json: bool = False, verbose: bool = False) -> int:
    """Tell an error in up to three lines on stderr, as JSON on stdout too; return its code."""
    if verbose:
        say("".join(traceback.format_exception(error)).rstrip("\n"), err=True)
    heading = click.style("error:", fg="red", bold=True) if coloured(sys.stderr) else "error:"
    say(f"{heading} {error}", err=True, plain=False)  # its text is plain already
    if as_json:
        try:
            show_json({"error": error_json(error)})
        except (OutputError, BrokenPipeError):
            _let_go_of_stdout()
    return error.exit_code


def error_json(error: RewriteError) -> dict[str, Any]:
    """Return the object under `error` of the command line's JSON."""
    return {
        "what": error.what,
        "where": error.where,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }


def coloured(stream: Any) -> bool:
    """Tell whether a stream is a terminal that shows colours."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream is not None and bool(stream.isatty()) and not plain


def _stopped(how: str, code: int) -> int:
    say(f"{how}: nothing was written", err=True)
    return code


def _usage(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "rewrite"
    hint = f"see: {command} --help"
    if isinstance(error, click.NoSuchOption):
        options = context.command.params if context is not None else []
        known = [name for p in options for name in p.opts if name.startswith("--")]
        near = nearest(error.option_name, known)
        return UsageError(
            f"unknown option '{error.option_name}'",
            where=command,
            hint=f"did you mean '{near}'?" if near else hint,
        )
    what = re.sub(r"\s+", " ", error.format_message()).strip().rstrip(".")
    return UsageError(what[:1].lower() + what[1:], where=command, hint=hint)


def _bug(error: Exception) -> RewriteError:
    known = error.__traceback__
    frames = traceback.extract_tb(known)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
    told = RewriteError(
        f"internal error: {type(error).__name__}: {first_line(error)}",
        where=where,
        hint="this is a bug of rewrite: run with -v and report what it prints",
    )
    told.__cause__ = error
    return told


def _ended(error: BaseException) -> RewriteError:
    told = RewriteError(
        f"the model or a plugin ended the process: {type(error).__name__}: {first_line(error)}",
        where=raised_at(error),
        hint="raise an error that says what is wrong; nothing was written",
    )
    told.__cause__ = error
    return told


def _given(arguments: Sequence[str], name: str, letter: str) -> bool:
    short = re.compile(rf"-[vqh]*{letter}[vqh]*")
    return any(a == name or short.fullmatch(a) for a in arguments)
