"""What passes ask of the file that is written: one another, and an opset."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rewrite.errors import UsageError
from rewrite.passes import Pass
from rewrite.target import Target


def require_whole(passes: Sequence[Pass]) -> None:
    """Hold a list of passes to those that complete others.

    Raises:
        UsageError: for a pass of which nothing would be in the file.
    """
    names = [each.name for each in passes]
    for place, each in enumerate(passes):
        missing = [name for name in each.completed_by if name not in names[place + 1 :]]
        if missing:
            whole = [*names[: place + 1], *missing, *names[place + 1 :]]
            raise UsageError(
                f"'{each.name}' alone changes nothing in a file: '{missing[0]}' completes it",
                hint=f"--passes {','.join(whole)}",
            )


def with_opset_for(passes: Sequence[Pass], target: Target, asked: int | None) -> Target:
    """Return a target that writes no opset older than its passes need.

    Raises:
        UsageError: where the target, or the opset that was asked for, is older.
    """
    for each in passes:
        least, newest = each.least_opset, target.opset_range[1]
        if not least:
            continue
        if least > newest:
            raise UsageError(
                f"'{each.name}' needs opset {least}, "
                f"and target '{target.name}' takes up to {newest}",
                hint=each.opset_hint or "choose another target: rewrite targets",
            )
        if asked is not None and asked < least:
            raise UsageError(
                f"'{each.name}' needs opset {least}, and {asked} was asked for",
                hint=f"--opset {least}, or leave it out",
            )
        first = max(least, target.opset_range[0])
        opset = max(least, target.opset)
        target = dataclasses.replace(target, opset=opset, opset_range=(first, newest))
    return target
