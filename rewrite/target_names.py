"""Names in a target that others provide: rules for files, passes with their options, runtimes."""

from __future__ import annotations

from collections.abc import Mapping

from rewrite.errors import UsageError, unknown
from rewrite.options import build
from rewrite.pass_spec import parse_passes
from rewrite.passes import Pass
from rewrite.runtimes import runtimes
from rewrite.target import Target


def check_names(target: Target, passes: Mapping[str, type[Pass]]) -> None:
    """Hold the names in a target to what there is.

    Args:
        target: with everything it inherits.
        passes: all passes by name.

    Raises:
        UsageError: naming the file of the target, for an unknown name or a wrong option of a pass.
    """
    from rewrite.lint import rules_of

    rules_of(target)
    known = [runtime.name for runtime in runtimes()]
    for name in target.runtimes:
        if name not in known:
            raise unknown("runtime", name, known, where=target.source)
    for key in ("prepare", "legalize"):
        for text in getattr(target, key):
            _check_pass(key, text, target, passes)


def _check_pass(key: str, text: str, target: Target, passes: Mapping[str, type[Pass]]) -> None:
    try:
        for spec in parse_passes(text):
            if spec.name not in passes:
                raise unknown("pass", spec.name, passes)
            build(passes[spec.name], spec.name, dict(spec.options))
    except UsageError as error:
        where = f'{target.source}: {key} = ["{text}"]'
        raise UsageError(error.what, where=where, hint=error.hint) from None
