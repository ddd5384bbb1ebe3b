"""Dynamic sizes that are fixed: in inputs, in dynamic shapes, in calibration, in evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite import UsageError, capture
from rewrite.descriptors import Model
from rewrite.fixed_sizes import OtherSize, check_static, fix_sizes
from rewrite.plugin_host import PluginHost
from rewrite.request import Request

BATCH, TOKENS = Dim("batch"), Dim("tokens", min=2, max=64)


class Text(nn.Module):
    """Two inputs with both dimensions, and a result with both."""

    def forward(self, ids, mask):
        return torch.relu(ids * mask)


def text(shapes=None, rows: int = 4, tokens: int = 6) -> Model:
    ids = torch.arange(rows * tokens, dtype=torch.float32).reshape(rows, tokens)
    both = {0: BATCH, 1: TOKENS}
    return Model(
        "text",
        Text,
        lambda: {"ids": ids, "mask": torch.ones_like(ids)},
        {"ids": both, "mask": both} if shapes is None else shapes,
        calibration=lambda: iter([{"ids": ids, "mask": torch.ones_like(ids)}]),
    )


def fixed(given: Model, model: nn.Module | None = None, *, static: bool = False, **sizes: int):
    return fix_sizes(given, model or Text(), sizes, static=static)


def test_static_fixes_every_size_to_the_example():
    sizes = fixed(text(), static=True)
    assert sizes.sizes == {"batch": 4, "tokens": 6}
    described = sizes.described(text())
    assert described.dynamic_shapes is None
    program = capture(Text().eval(), described.inputs(), described.dynamic_shapes)
    assert not program.signature.dynamic


def test_one_size_is_fixed_and_the_others_stay_dynamic():
    described = fixed(text(), tokens=8).described(text())
    assert described.dynamic_shapes == {"ids": {0: BATCH, 1: None}, "mask": {0: BATCH, 1: None}}
    ids = described.inputs()["ids"]
    # What is too short is repeated.
    assert ids.shape == (4, 8) and ids[0].tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    program = capture(Text().eval(), described.inputs(), described.dynamic_shapes)
    dims = {dim.name for dims in program.signature.dynamic.values() for dim in dims.values()}
    assert dims == {"batch"}


def test_given_sizes_win_over_the_example():
    sizes = fixed(text(), static=True, batch=1)
    assert sizes.sizes == {"batch": 1, "tokens": 6}
    assert sizes.described(text()).inputs()["ids"].tolist() == [[0, 1, 2, 3, 4, 5]]


def test_nothing_fixed_changes_nothing():
    sizes, given = fixed(text()), text()
    assert sizes.described(given) is given and sizes.calibrated(given) is given
    assert sizes.runner(print) is print


def batches(given: Model, **sizes: int) -> list[list[list[float]]]:
    made = fixed(given, **sizes).calibrated(given)
    return [batch["ids"].tolist() for batch in made.calibration()]


def test_calibration_batches_are_taken_apart_by_rows():
    pieces = batches(text(rows=3, tokens=2), batch=2)
    assert pieces == [[[0, 1], [2, 3]], [[2, 3], [4, 5]]]  # no row is lost


def test_too_few_rows_are_repeated_and_long_ones_cut():
    assert batches(text(rows=1, tokens=3), batch=2, tokens=2) == [[[0, 1], [0, 1]]]


def test_short_calibration_data_name_the_dimension():
    with pytest.raises(OtherSize, match=r"calibration batch 1 gives 6 along 'tokens', .* to 8"):
        batches(text(), tokens=8)


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8])
def test_evaluation_runs_any_number_of_rows_in_pieces(rows):
    sizes, seen = fixed(text(), batch=3), []

    def run(ids, mask):
        seen.append(len(ids))
        return {"result": ids * 2, "total": torch.tensor(1.0)}

    ids = torch.arange(rows * 6.0).reshape(rows, 6)
    result = sizes.runner(run)(ids, mask=torch.ones_like(ids))
    assert torch.equal(result["result"], ids * 2)
    assert set(seen) == {3} and len(seen) == -(-rows // 3)


def test_evaluation_cuts_no_tokens():
    ids = torch.ones(2, 7)
    with pytest.raises(OtherSize, match=r"evaluate\(\) gives 7 along 'tokens'"):
        fixed(text(), tokens=6).runner(Text())(ids, ids)


class Nested(nn.Module):
    """A list of tensors and one without a name."""

    def forward(self, pair, scale):
        return pair[0] + pair[1] * scale


def nested() -> Model:
    shapes = {"pair": [{0: BATCH}, {0: BATCH}], "scale": {1: Dim.DYNAMIC}}
    inputs = ([torch.ones(4, 3), torch.ones(4, 3)], torch.ones(1, 3))
    return Model("nested", Nested, lambda: inputs, shapes)


def test_nested_inputs_and_dimensions_without_a_name():
    given, shapes = nested(), {"pair": [{0: BATCH}, {0: BATCH}], "scale": {1: Dim.DYNAMIC}}
    sizes = fix_sizes(given, Nested(), {"scale.1": 3}, static=False)
    assert sizes.described(given).dynamic_shapes == {**shapes, "scale": {1: None}}
    both = fix_sizes(given, Nested(), {}, static=True)
    assert both.sizes == {"batch": 4, "scale.1": 3}
    pair, _ = fix_sizes(given, Nested(), {"batch": 2}, static=True).described(given).inputs()
    assert [each.shape[0] for each in pair] == [2, 2]


def test_a_dimension_that_follows_from_another_follows_its_size():
    class Doubled(nn.Module):
        def forward(self, x, y):
            return x.sum() + y.sum()

    shapes = ({0: BATCH}, {0: 2 * BATCH})
    given = Model("doubled", Doubled, lambda: (torch.ones(3, 2), torch.ones(6, 2)), shapes)
    x, y = fix_sizes(given, Doubled(), {"batch": 5}, static=False).described(given).inputs()
    assert (len(x), len(y)) == (5, 10)


def test_a_size_in_steps_is_fixed_by_its_root():
    class Net(nn.Module):
        def forward(self, x):
            return x.mean()

    steps, more = torch.export.Dim("h", max=64), torch.export.Dim("w", max=9)
    given = Model("net", Net, lambda: (torch.ones(2, 32, 7),), ({1: 8 * steps, 2: more + 1},))
    static = fix_sizes(given, Net(), {}, static=True)
    assert static.sizes == {"h": 4, "w": 6}
    (x,) = fix_sizes(given, Net(), {"h": 2}, static=True).described(given).inputs()
    assert x.shape == (2, 16, 7)
    with pytest.raises(UsageError, match="'h' cannot be fixed to 65: the model takes 1 to 64"):
        fix_sizes(given, Net(), {"h": 65}, static=False)


@pytest.mark.parametrize(
    ("sizes", "message", "hint"),
    [
        ({"bach": 1}, "unknown dynamic size 'bach'", "did you mean 'batch'?"),
        ({"tokens": 65}, "'tokens' cannot be fixed to 65: the model takes 2 to 64", None),
        ({"tokens": 1}, "'tokens' cannot be fixed to 1", None),
    ],
)
def test_mistakes_are_named(sizes, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        fixed(text(), **sizes)
    assert caught.value.hint == hint


def test_a_model_of_fixed_sizes_says_so():
    with pytest.raises(UsageError, match="no dynamic size 'batch': all sizes are fixed"):
        fixed(text(shapes={"ids": None, "mask": {0: None, 1: 6}}), batch=1)
    assert fixed(text(shapes={"ids": None, "mask": None}), static=True).sizes == {}


def test_a_batch_of_another_form_is_left_to_whoever_takes_it():
    given = text()
    made = fixed(given, batch=2).calibrated(
        Model("text", Text, given.inputs, calibration=lambda: iter([(torch.ones(4, 6),) * 3]))
    )
    assert len(next(iter(made.calibration()))) == 3


@pytest.mark.parametrize("checks", ["strict", "report"])
@pytest.mark.parametrize("target", ["qnn", "portable"])
def test_targets_of_fixed_sizes_say_how_to_fix_them(target, checks):
    given = text()
    program = capture(Text().eval(), given.inputs(), given.dynamic_shapes)
    request = Request("text", output=Path("out.onnx"), checks=checks)
    found = PluginHost().find_target(target)
    if target == "portable" or checks == "report":
        check_static(program, found, request)
        return
    with pytest.raises(UsageError, match=r"takes fixed sizes; .* ones: batch, tok") as caught:
        check_static(program, found, request)
    assert "--static" in caught.value.hint
    assert "--fix batch=SIZE,tokens=SIZE" in caught.value.hint
    check_static(program, found, Request("text", output=Path("out.pt2")))
