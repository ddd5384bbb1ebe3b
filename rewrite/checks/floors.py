"""How near a file must be to what was simulated, and to the model, by what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rewrite.checks.judge import Judge
from rewrite.checks.samples import Sample
from rewrite.eager_check import lowest_sqnr
from rewrite.equivalence import Difference
from rewrite.errors import CheckError
from rewrite.lowering.agreement import floor_of, of_program, require, require_model, simulate
from rewrite.lowering.lower import Lowered
from rewrite.on_runtime import OnRuntime
from rewrite.output_agreement import LOWEST_LOSSY_SQNR
from rewrite.output_lines import line_of_output
from rewrite.program import Program

if TYPE_CHECKING:
    from rewrite.request import Request


def hold_on_runtime(
    found: OnRuntime, lowered: Lowered, request: Request, loss: Difference | None, *, lossy: bool
) -> None:
    """Hold what a runtime made of a file to the program, at all sizes, and to the model.

    Raises:
        CheckError: with what was reached, and what is required.
    """
    assert found.agreement is not None and found.model is not None
    half = lowered.computes_half
    floor = floor_of(quantized=lowered.is_quantized, half=half)
    require(found.agreement, floor, loss=loss)
    if found.resized is not None:
        require(found.resized, floor, loss=loss, place=" at other sizes")
    least = _least(request, lossy=lossy, half=half)
    require_model(found.model, least, lossy=lossy)
    # Ranges are calibrated at the sizes that calibration data have, so that what rounding costs
    # at others says nothing of the file: there it is held to what was simulated.
    if found.model_resized is not None and not lossy:
        require_model(found.model_resized, least, lossy=lossy)


def loss_at_other_sizes(
    found: OnRuntime, lowered: Lowered, request: Request, *, lossy: bool
) -> str:
    """Return a warning where a file that rounds loses the model at other sizes; else nothing.

    What a softmax or a mean yields grows as there are fewer tokens, and leaves ranges that were
    calibrated on more.
    """
    if not lossy or found.model_resized is None:
        return ""
    least = _least(request, lossy=lossy, half=lowered.computes_half)
    shortfall = found.model_resized.shortfall(least)
    is_lost_at_all = found.model is not None and found.model.shortfall(least) is not None
    if shortfall is None or is_lost_at_all:
        return ""
    return (
        f"at other sizes the file agrees with the model {shortfall}: ranges are of the sizes that "
        "calibration data have; give calibration() batches of the sizes you will use, or narrow "
        "dynamic_shapes to them"
    )


def hold_program(
    lowered: Lowered,
    samples: Sequence[Sample],
    simulated: Sequence[Sequence[Any]],
    request: Request,
    judge: Judge,
    *,
    lossy: bool,
) -> CheckError | None:
    """Hold a program to the model where nothing here runs its file; return what is wrong."""
    pairs = [each for each in zip(samples, simulated, strict=True) if not each[0].is_resized]
    agreement = of_program(lowered.program, [s for s, _ in pairs], [v for _, v in pairs], judge)
    least = _least(request, lossy=lossy, half=lowered.computes_half)
    try:
        require_model(agreement, least, lossy=lossy, what="the program, as it is simulated,")
    except CheckError as error:
        return error
    return None


def hold_captured(program: Program, samples: Sequence[Sample], judge: Judge) -> CheckError | None:
    """Hold a captured program to the model on other values and sizes; return what is wrong.

    On the example it was when it was captured. A float file is held to the model by itself; of one
    that rounds, what is lost to rounding would hide what was captured wrongly.
    """
    others = samples[1:]
    if not others:
        return None
    try:
        agreement = of_program(program, others, simulate(program, others), judge)
        floor = min(lowest_sqnr(program, each.expected) for each in others)
        require_model(agreement, floor, lossy=False, what="the captured program")
    except CheckError as error:
        where = error.where or line_of_output(program, error.what)
        return CheckError(error.what, where=where or None, hint=error.hint or None)
    return None


def _least(request: Request, *, lossy: bool, half: bool) -> float:
    """Return the SQNR against the model that is asked for, or that goes without asking."""
    if request.min_sqnr is not None:
        return request.min_sqnr
    return LOWEST_LOSSY_SQNR if lossy else floor_of(quantized=False, half=half)
