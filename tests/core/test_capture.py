from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from rewrite import CaptureError, capture
from rewrite.draws import check_inputs
from rewrite.eager_check import check_deterministic
from rewrite.re_export import re_export


def model(forward, **modules):
    """Return a model in evaluation mode that computes `forward(self, ...)`."""

    class Model(nn.Module):
        pass

    Model.forward = forward
    made = Model()
    for name, module in modules.items():
        setattr(made, name, module)
    return made.eval()


def line_of(text):
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.strip() == text)


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(CaptureError) as caught:
        capture(nn.Sequential(nn.Linear(2, 2)), (torch.randn(1, 2),))
    assert caught.value.what == "the model is in training mode"
    assert caught.value.where == "Sequential"
    assert caught.value.hint == "return model.eval() from model()"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("how", "what", "where"),
    [
        (torch.jit.script, "the model", "Linear"),
        (lambda linear: torch.jit.trace(linear, torch.randn(1, 2)), "the model", "Linear"),
        (
            lambda linear: nn.Sequential(nn.Sequential(torch.jit.script(linear))).eval(),
            "module '0.0'",
            "Sequential",
        ),
    ],
    ids=["script", "trace", "part"],
)
def test_a_model_of_torchscript_is_wanted_as_it_was_before(how, what, where):
    with pytest.raises(CaptureError) as caught:
        capture(how(nn.Linear(2, 2).eval()), (torch.randn(1, 2),))
    assert (
        caught.value.what == f"{what} is compiled by TorchScript, which torch.export does not take"
    )
    assert caught.value.where == where
    assert (
        caught.value.hint == "return the model as it was before torch.jit.script or torch.jit.trace"
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_traced_part_is_taken_and_not_blamed():
    def branches(self, x):
        return self.part(x) if x.sum() > 0 else x

    x = torch.randn(1, 2)
    part = torch.jit.trace(nn.Sequential(nn.Linear(2, 2)).eval(), x)
    assert "linear" in capture(nn.Sequential(nn.ReLU(), part).eval(), (x,)).text()
    with pytest.raises(CaptureError, match="branches on the values of a tensor"):
        capture(model(branches, part=part), (x,))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named_and_counted(value):
    linear = nn.Linear(3, 4).eval()
    with torch.no_grad():
        linear.weight[1, :2] = value
    with pytest.raises(CaptureError) as caught:
        capture(nn.Sequential(linear).eval(), (torch.randn(1, 3),))
    assert caught.value.what == "weight '0.weight' holds 2 NaN or infinite values of 12"


def test_a_mask_may_be_infinite_but_not_nan():
    def forward(self, x):
        return (x + self.mask).softmax(-1)

    masked = model(forward)
    masked.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    capture(masked, (torch.randn(2, 2),))
    masked.mask[0] = torch.nan
    with pytest.raises(CaptureError, match="weight 'mask' holds 2 NaN or infinite values"):
        capture(masked, (torch.randn(2, 2),))


def test_control_flow_on_data_names_the_users_line():
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x

    with pytest.raises(CaptureError) as caught:
        capture(model(forward), (torch.randn(2),))
    assert "branches on the values of a tensor" in caught.value.what
    place = f"test_capture.py:{line_of('if x.sum() > 0:')}: if x.sum() > 0:"
    assert caught.value.where.endswith(place)
    assert "torch.where" in caught.value.hint


def test_a_forward_that_fails_names_the_users_line_and_the_message():
    def forward(self, x):
        return x @ torch.ones(5, 5)

    with pytest.raises(CaptureError) as caught:
        capture(model(forward), (torch.randn(2, 3),))
    assert caught.value.what.startswith("the model fails on its example inputs: RuntimeError: ")
    assert "mat1 and mat2 shapes cannot be multiplied" in caught.value.what
    line = line_of("return x @ torch.ones(5, 5)")
    assert f"test_capture.py:{line}: return x @" in caught.value.where
    assert caught.value.hint == "inputs() must return what the model's forward takes"


def test_dynamic_shapes_that_do_not_hold_say_which():
    def forward(self, x):
        return x.reshape(3, 4)

    batch = torch.export.Dim("batch", min=2, max=8)
    with pytest.raises(CaptureError) as caught:
        capture(model(forward), (torch.randn(3, 4),), ({0: batch},))
    assert "the dynamic shapes do not hold for this model" in caught.value.what
    assert "batch" in caught.value.what


def test_a_program_that_computes_something_else_is_refused():
    class Exported(nn.Module):
        def forward(self, x):
            return {"score": x * (2 if torch.compiler.is_exporting() else 3)}

    with pytest.raises(CaptureError, match="the model does: output 'score'") as caught:
        capture(Exported().eval(), (torch.randn(2, 3),))
    assert str(caught.value.where).endswith(
        '{"score": x * (2 if torch.compiler.is_exporting() else 3)}'
    )
    assert "one is" not in caught.value.hint


def test_where_writes_may_be_lost_the_first_one_is_shown():
    class Written(nn.Module):
        def forward(self, x):
            y = x.clone()
            y[:, 0] += 1
            y.mul_(2)
            return {"score": y + (0 if torch.compiler.is_exporting() else 1)}

    with pytest.raises(CaptureError, match="the model does: output 'score'") as caught:
        capture(Written().eval(), (torch.randn(2, 3),))
    assert caught.value.hint.endswith("y[:, 0] += 1")


def test_a_write_behind_a_dropout_is_followed_or_noticed():
    class Hidden(nn.Module):
        def forward(self, x):
            y = x * 2
            nn.functional.dropout(y, training=self.training).add_(1)
            return {"score": y}

    x = torch.randn(2, 3)
    try:
        program = capture(Hidden().eval(), (x,))
    except CaptureError as error:  # torch 2.13 loses it
        assert "does not compute what the model does: output 'score'" in error.what
    else:
        assert torch.equal(program(x)["score"], x * 2 + 1)


def test_a_model_that_draws_random_numbers_is_not_compared():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    assert "randn_like" in capture(Noisy().eval(), (torch.randn(2, 3),)).text()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_compared_in_theirs(dtype):
    net = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 4))
    program = capture(net.eval().to(dtype), (torch.randn(5, 16, dtype=dtype),))
    assert {t.dtype for _, t in program.used_weights()} == {dtype}


def test_tied_weights_share_one_name():
    def forward(self, ids):
        return self.head(self.embed(ids))

    tied = model(forward, embed=nn.Embedding(7, 4), head=nn.Linear(4, 7, bias=False))
    tied.head.weight = tied.embed.weight
    program = capture(tied, (torch.tensor([[1, 2]]),))
    assert len(list(program.used_weights())) == 1
    text = program.text()
    assert text.count("@embed.weight") + text.count("@head.weight") == 2
    assert ("@embed.weight" in text) != ("@head.weight" in text)


def test_equal_weights_that_are_not_tied_keep_their_names():
    twins = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)).eval()
    twins[1].load_state_dict(twins[0].state_dict())
    names = [name for name, _ in capture(twins, (torch.randn(1, 2),)).used_weights()]
    assert names == ["0.weight", "1.weight"]


def test_parts_of_one_storage_are_not_tied():
    def forward(self, x):
        return x * self.left + x * self.right

    halves = model(forward)
    both = torch.randn(4)
    halves.register_buffer("left", both[:2])
    halves.register_buffer("right", both[2:])
    assert len(list(capture(halves, (torch.randn(2),)).used_weights())) == 2


def test_dynamic_dimensions_are_in_the_signature():
    def forward(self, x, y):
        return x + y, y.sum()

    batch = torch.export.Dim("batch", min=2, max=64)
    width = torch.export.Dim("width", min=3)
    inputs = (torch.randn(4, 5), torch.randn(4, 5))
    shapes = ({0: batch, 1: width}, {0: batch, 1: width})
    signature = capture(model(forward), inputs, shapes).signature
    assert signature.input_names == ("x", "y")
    assert signature.dynamic["x"] == signature.dynamic["y"]
    first, second = signature.dynamic["x"][0], signature.dynamic["x"][1]
    assert first.name != second.name
    assert (first.low, first.high) == (2, 64)
    assert (second.low, second.high) == (3, None)


def test_sizes_in_steps_have_names_and_ranges_and_are_drawn_in_steps():
    def forward(self, x):
        return nn.functional.avg_pool1d(x, 8)

    steps, more = torch.export.Dim("h", min=1, max=64), torch.export.Dim("rows", max=9)
    program = capture(model(forward), (torch.randn(6, 2, 32),), ({0: 2 * more + 2, 2: 8 * steps},))
    rows, size = program.signature.dynamic["x"].values()
    assert (rows.name, size.name) == ("2*rows+2", "8*h")
    assert (size.low, size.high, size.root.name, size.root.high) == (8, 512, "h", 64)
    assert "8*h" in program.text()
    drawn = [args[0].shape for args, _ in check_inputs(program)]
    assert drawn == [(6, 2, 32), (8, 2, 40)]
    assert re_export(program).module()(torch.randn(8, 2, 64)).shape == (8, 2, 8)


def test_static_shapes_leave_nothing_dynamic():
    assert capture(nn.Identity().eval(), (torch.randn(2),)).signature.dynamic == {}


def test_keyword_inputs_keep_their_names_in_any_order():
    def forward(self, ids, mask=None, *, scale=None):
        return ids * mask - scale

    inputs = {"mask": torch.randn(2), "scale": torch.randn(2), "ids": torch.randn(2)}
    program = capture(model(forward), inputs)
    assert set(program.signature.input_names) == set(inputs)
    expected = inputs["ids"] * inputs["mask"] - inputs["scale"]
    assert torch.equal(program(**inputs), expected)
    assert torch.equal(program(**dict(reversed(inputs.items()))), expected)
    flat = program.signature.flatten_inputs((), dict(reversed(inputs.items())))
    for name, value in zip(program.signature.input_names, flat, strict=True):
        assert value is inputs[name]


def test_inputs_of_another_structure_are_refused():
    program = capture(model(lambda self, x, y: x + y), (torch.randn(2), torch.randn(2)))
    words = "given 1 positional input, wanted 2 positional inputs"
    with pytest.raises(ValueError, match=words):
        program.signature.flatten_inputs((torch.randn(2),), {})
    words = "given the keyword inputs 'x', 'y', wanted 2 positional inputs"
    with pytest.raises(ValueError, match=words):
        program.signature.flatten_inputs((), {"x": torch.randn(2), "y": torch.randn(2)})


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda x: x, ("output",)),
        (lambda x: (x, -x), ("output_0", "output_1")),
        (lambda x: {"logits": x, "hidden": (x, -x)}, ("logits", "hidden.0", "hidden.1")),
        (lambda x: [x, {"deep": [-x]}], ("output_0", "1.deep.0")),
    ],
)
def test_outputs_are_named_by_their_path(returned, names):
    x = torch.randn(2, 2)
    program = capture(model(lambda self, x: returned(x.relu())), (x,))
    assert program.signature.output_names == names
    expected, _ = torch.utils._pytree.tree_flatten(returned(x.relu()))
    actual, _ = torch.utils._pytree.tree_flatten(program(x))
    assert all(map(torch.equal, expected, actual))


def test_an_output_is_never_named_like_an_input():
    program = capture(model(lambda self, output: output * 2), (torch.randn(2),))
    assert program.signature.input_names == ("output",)
    assert program.signature.output_names == ("output_1",)

    def both(self, x, output_x):
        return {"x": x + output_x, "output_x": x * 2}

    program = capture(model(both), (torch.randn(2), torch.randn(2)))
    assert program.signature.output_names == ("output_x_1", "output_output_x")


@pytest.mark.parametrize("is_buffer", [True, False])
def test_a_sparse_weight_is_named_with_its_line(is_buffer):
    def forward(self, x):
        return torch.sparse.mm(self.chosen, x)

    sparse = model(forward)
    chosen = torch.eye(2).to_sparse()
    if is_buffer:
        sparse.register_buffer("chosen", chosen)
    else:
        sparse.chosen = chosen
    with pytest.raises(CaptureError, match="'chosen', a sparse coo tensor") as caught:
        capture(sparse, (torch.randn(2, 3),))
    assert str(caught.value.where).endswith("return torch.sparse.mm(self.chosen, x)")
    assert "to_dense()" in str(caught.value.hint)


def test_the_program_is_functional_and_whole():
    def forward(self, x):
        y = self.norm(self.conv(x)).relu_().clone()
        y += 1
        return self.head(self.drop(y).flatten(1)).detach()

    conv, norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    head, drop = nn.Linear(16, 2), nn.Dropout()
    program = capture(
        model(forward, conv=conv, norm=norm, head=head, drop=drop), (torch.ones(1, 3, 4, 4),)
    )
    called = [n.target.__name__ for n in program.graph.nodes if n.op == "call_function"]
    assert called == [
        "conv2d.default",
        "batch_norm.default",
        "relu.default",
        "add.Tensor",
        "reshape.default",
        "linear.default",
    ]


def test_every_call_knows_its_line_and_its_module():
    from rewrite.provenance import module_path, source_line

    def forward(self, x):
        return self.head(x.relu())

    program = capture(model(forward, head=nn.Linear(2, 2)), (torch.randn(1, 2),))
    relu, linear = (n for n in program.graph.nodes if n.op == "call_function")
    line = line_of("return self.head(x.relu())")
    assert source_line(relu) == source_line(linear)
    assert source_line(relu).endswith(f"test_capture.py:{line}: return self.head(x.relu())")
    assert (module_path(relu), module_path(linear)) == ("", "head")


def test_attention_that_drops_nothing_draws_nothing():
    def forward(self, x):
        y = nn.functional.scaled_dot_product_attention(x, x, x)
        return nn.functional.rrelu(nn.functional.dropout(y, 0.5, self.training), training=False)

    check_deterministic(capture(model(forward), (torch.randn(1, 2, 3, 4),)))


def test_a_sparse_result_is_refused():
    class Sparse(nn.Module):
        def forward(self, x):
            return {"found": x.to_sparse()}

    with pytest.raises(CaptureError, match=r"returns a sparse tensor at \['found'\]"):
        capture(Sparse().eval(), (torch.eye(3),))
