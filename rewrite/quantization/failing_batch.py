"""A batch that the model does not run on is told as that, and not as the fault of who ran it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import fx

from rewrite.errors import STOPS, RewriteError, UsageError, first_line
from rewrite.interpret import Interpreter
from rewrite.program import Program
from rewrite.provenance import source_line
from rewrite.quantization.batches import Inputs

_HINT = "calibration() must give values that the model takes, such as ids within its table"


@contextlib.contextmanager
def on_batch(program: Program, inputs: Inputs, number: int) -> Iterator[None]:
    """Do something with a calibration batch, of which 0 is the example.

    Raises:
        UsageError: naming the batch and the user's line, when something fails and the program by
            itself fails on the batch as well. Whatever else fails is raised as it is.
    """
    try:
        yield
    except (RewriteError, *STOPS):
        raise
    except Exception as error:
        failure = _failure(program, inputs, number)
        if failure is None:
            raise
        raise failure from error


def _failure(program: Program, inputs: Inputs, number: int) -> UsageError | None:
    plain = _Remembering(program)
    try:
        plain.run_inputs(*inputs)
    except Exception as error:
        what = f"calibration batch {number}" if number else "the example inputs"
        return UsageError(
            f"the model fails on {what}: {type(error).__name__}: {first_line(error)}",
            where=source_line(plain.at) or None if plain.at is not None else None,
            hint=_HINT,
        )
    return None


class _Remembering(Interpreter):
    """Knows which node it evaluates."""

    at: fx.Node | None = None

    def evaluate(self, node: fx.Node, values: dict[fx.Node, Any], inputs: Iterator[Any]) -> Any:
        self.at = node
        return super().evaluate(node, values, inputs)
