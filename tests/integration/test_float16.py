"""Models in float16: half the file, the same outputs, and runtimes that read it."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")

from rewrite.equivalence import difference
from rewrite.pass_spec import parse_passes

from .compiling import compile_case
from .transformers_images import VISION
from .transformers_text import LANGUAGE, SOUND

LOWEST_STORED_SQNR = 60.0
"""Of the program beside the captured one, in dB: one rounding of each weight."""
LOWEST_COMPUTED_SQNR = 45.0
"""The same where every product and sum is rounded as well."""
COMPUTE = "fold-batch-norm,remove-dead-code,expand-attention,halve-floats{form=compute}"
LOWER = {"resnet": (50.0, "its two logits are differences of larger sums")}
MODELS = (*LANGUAGE, *SOUND, *VISION)


def every_sixth(first: int) -> pytest.MarkDecorator:
    """Parametrize with a sixth of the models; with `--all-forms`, the others count too."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                c,
                id=c.name,
                marks=[*c.marks, *([] if place % 6 == first else [pytest.mark.all_forms])],
            )
            for place, c in enumerate(MODELS)
        ],
    )


pytestmark = pytest.mark.usefixtures("one_thread")


def holds(result, floor: float) -> None:
    """Hold the program to the captured one, and the file to the program on every runtime."""
    captured, program = result.captured, result.program
    args, kwargs = captured.example
    outputs = zip(_flat(captured(*args, **kwargs)), _flat(program(*args, **kwargs)), strict=True)
    assert difference(outputs).sqnr_db >= floor
    found = result.as_json()["runtimes"]
    assert found
    assert not [entry["problem"] for entry in found.values() if entry["problem"]]


def _flat(value):
    from torch.utils import _pytree as pytree

    return [v for v in pytree.tree_leaves(value) if hasattr(v, "is_floating_point")]


@every_sixth(0)
def test_stored(case, tmp_path):
    floor, _ = LOWER.get(case.name, (LOWEST_STORED_SQNR, ""))
    holds(compile_case(case, tmp_path, preset="float16"), floor)


@every_sixth(1)
def test_computed(case, tmp_path):
    passes = parse_passes(COMPUTE)
    holds(compile_case(case, tmp_path, preset="", passes=passes), LOWEST_COMPUTED_SQNR)
