"""Tokens that a mask hides do not count, wherever the shapes say that tokens are."""

from __future__ import annotations

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.expand_attention import ExpandAttention
from rewrite_plugins.insert_quantizers import InsertQuantizers
from torch import nn
from torch.export import Dim

from rewrite import UsageError, capture
from rewrite.pipeline import run_passes
from rewrite.quantization.padding import Mask, Padding, find_padding

from .models import context, outcome, run

PAD = 0
FLOAT32 = 1e-5
"""A padded batch and a single text are summed in another order."""


class Encoder(nn.Module):
    """One layer of attention; the padding id has an embedding a hundred times the others."""

    def __init__(self, layout: str = "tokens") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 8)
        with torch.no_grad():
            self.embed.weight[PAD] *= 100
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.layout = layout

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        b, s = ids.shape
        x = self.embed(ids)
        if self.layout == "flat":
            x = self.qkv(x.reshape(b * s, 8)).reshape(b, s, 24)
        elif self.layout == "time first":
            x = self.qkv(x.transpose(0, 1)).transpose(0, 1)
        else:
            x = self.qkv(x)
        q, k, v = (p.reshape(b, s, 2, 4).transpose(1, 2) for p in x.chunk(3, -1))
        mask = attention_mask[:, None, None, :] != 0
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(y.transpose(1, 2).reshape(b, s, 8))


def texts() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(1, 20, (n,), generator=generator) for n in (5, 9, 3, 7)]


def padded(mask: str = "attention_mask", dtype=torch.int64) -> dict[str, torch.Tensor]:
    ids = nn.utils.rnn.pad_sequence(texts(), batch_first=True, padding_value=PAD)
    return {"ids": ids, mask: (ids != PAD).to(dtype)}


def alone() -> list[dict[str, torch.Tensor]]:
    return [{"ids": t[None], "attention_mask": torch.ones(1, len(t)).long()} for t in texts()]


def marked(model: nn.Module, inputs, dynamic: bool = True, dims=None):
    dims = dims or {0: Dim("batch", min=1, max=64), 1: Dim("tokens", min=1, max=64)}
    shapes = {name: dims for name in inputs} if dynamic else None
    program = capture(model.eval(), inputs, shapes)
    return run(program, ExpandAttention(), InsertQuantizers(), context=context())


def scales(program) -> dict[str, torch.Tensor]:
    return {n: t for n, t in program.used_weights() if n.startswith("qdq.") and "scale" in n}


@pytest.mark.parametrize("layout", ["tokens", "flat", "time first"])
@pytest.mark.parametrize("method", ["min-max", "percentile", "mse"])
def test_a_padded_batch_is_the_texts_alone(layout, method):
    program = marked(Encoder(layout=layout), padded())
    together = run(program, Calibrate(method=method), context=context([padded()]))
    apart = run(program, Calibrate(method=method), context=context(alone()))
    assert scales(together).keys() == scales(apart).keys()
    for name, scale in scales(together).items():
        tolerance = FLOAT32 if method == "min-max" else 0.02
        torch.testing.assert_close(scale, scales(apart)[name], rtol=tolerance, atol=0)


def test_padding_counts_when_asked():
    program = marked(Encoder(), padded())
    ignored = scales(run(program, Calibrate(), context=context([padded()])))
    counted = scales(run(program, Calibrate(padding="count"), context=context([padded()])))
    wider = [name for name in ignored if counted[name] > 10 * ignored[name]]
    assert "qdq.embedding_activation.scale" in wider


def test_the_note_says_how_many_were_left_out():
    settings = context([padded(), padded()])
    report = run_passes(marked(Encoder(), padded()), [Calibrate()], settings).reports[0]
    assert report.outcome.notes == ["24 of 72 tokens are padding and did not count"]


def test_a_mask_of_ones_leaves_no_note():
    settings = context(alone())
    report = run_passes(marked(Encoder(), padded()), [Calibrate()], settings).reports[0]
    assert report.outcome.notes == []


def test_tokens_of_a_fixed_number_count_and_a_warning_says_so():
    program = marked(Encoder(), padded(), dynamic=False)
    found = outcome(program, Calibrate(), context([padded()]))
    assert found.warnings == [
        "padding counts: 'attention_mask' is not used as a mask, since its number of tokens is "
        "fixed; make that dimension dynamic"
    ]


class Valid(Encoder):
    """The encoder with a mask of another name."""

    def forward(self, ids: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return super().forward(ids, valid)


class NamedMask(Encoder):
    """The encoder with a mask whose ones may mean anything."""

    def forward(self, ids: torch.Tensor, my_mask: torch.Tensor) -> torch.Tensor:
        return super().forward(ids, my_mask)


def test_a_mask_that_nobody_explained_is_told():
    ids, mask = padded().values() if isinstance(padded(), dict) else padded()
    batch = {"ids": ids, "my_mask": mask}
    found = outcome(marked(NamedMask(), batch), Calibrate(), context([batch]))
    assert found.warnings == [
        "padding counts in calibration: if ones of 'my_mask' mark tokens, say "
        "calibrate{mask=my_mask}; if it hides something else, calibrate{padding=count}"
    ]
    asked = outcome(marked(NamedMask(), batch), Calibrate(mask="my_mask"), context([batch]))
    counted = outcome(marked(NamedMask(), batch), Calibrate(padding="count"), context([batch]))
    assert asked.warnings == counted.warnings == []


class KeyPadding(Encoder):
    """The encoder with a mask in which ones are padding."""

    def forward(self, ids: torch.Tensor, key_padding_mask: torch.Tensor) -> torch.Tensor:
        return super().forward(ids, ~key_padding_mask)


class ByAnyName(Encoder):
    """The encoder with a mask whose ones may mean anything."""

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().forward(ids, mask)


def test_what_a_mask_of_another_name_hides_is_not_guessed():
    padding, warnings = find_padding(marked(ByAnyName(), padded("mask")))
    assert padding is None
    assert [text[:27] for text in warnings] == ["padding counts in calibrati"]


def test_a_mask_of_any_name_can_be_named():
    inputs = padded("valid", torch.bool)
    program = marked(Valid(), inputs)
    assert find_padding(program) == (None, [])
    found = outcome(program, Calibrate(mask="valid"), context([inputs]))
    assert found.notes == ["12 of 36 tokens are padding and did not count"]


def test_ones_of_a_padding_mask_are_padding():
    inputs = padded("key_padding_mask", torch.bool)
    inputs["key_padding_mask"] = ~inputs["key_padding_mask"]
    found = outcome(marked(KeyPadding(), inputs), Calibrate(), context([inputs]))
    assert found.notes == ["12 of 36 tokens are padding and did not count"]


def test_a_mask_that_is_none_is_refused():
    program = marked(Encoder(), padded())
    with pytest.raises(UsageError, match="unknown input 'attention_musk'") as caught:
        run(program, Calibrate(mask="attention_musk"), context=context([padded()]))
    assert "attention_mask" in str(caught.value.hint)
    fixed = marked(Encoder(), padded(), dynamic=False)
    with pytest.raises(UsageError, match="'ids' cannot be the mask: its number of tokens is fixed"):
        run(fixed, Calibrate(mask="ids"), context=context([padded()]))


def test_a_fixed_batch_is_enough():
    dims = {1: Dim("tokens", min=1, max=64)}
    program = marked(Encoder(), padded(), dims=dims)
    (mask,) = find_padding(program)[0].masks
    assert mask.batch == 4 and not isinstance(mask.tokens, int)
    found = outcome(program, Calibrate(), context([padded()]))
    assert found.notes == ["12 of 36 tokens are padding and did not count"]


class Value:
    """A node with a symbolic shape, as far as `Padding.select` looks at it."""

    def __init__(self, program, *sizes) -> None:
        names = {"b": 0, "s": 1}
        ids = program.inputs()[0].meta["val"]
        sizes = [ids.shape[names[n]] if n in names else n for n in sizes]
        with program.fake_mode:
            self.meta = {"val": torch.empty([s if not callable(s) else s(ids) for s in sizes])}


@pytest.mark.parametrize(
    ("sizes", "axes"),
    [
        (("b", "s", 8), (0, 1)),
        (("s", "b", 8), (1, 0)),
        (("b", 8, "s"), (0, 2)),
        (("b", 2, "s", "s"), (0, 2, 3)),
        ((lambda ids: ids.shape[0] * ids.shape[1], 8), None),
        (("b", 8), ()),
        ((1, "s", 8), ()),
        (("s", "s"), ()),
    ],
)
def test_where_tokens_are_follows_from_the_shape(sizes, axes):
    program = marked(Encoder(), padded())
    padding, _ = find_padding(program)
    (mask,) = padding.masks
    kept = torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()
    node = Value(program, *sizes)
    concrete = {"b": 2, "s": 3}
    value = torch.randn([6 if callable(n) else concrete.get(n, n) for n in sizes])
    chosen = padding.select(node, value, {mask: kept})
    if axes is None:
        assert torch.equal(chosen, value[kept.reshape(-1)])
    elif axes == ():
        assert chosen is value
    else:
        where = kept if len(axes) == 2 else kept[:, :, None] & kept[:, None, :]
        expected = value.movedim(axes, tuple(range(len(axes))))[where]
        assert chosen.shape == expected.shape
        assert torch.equal(chosen.flatten().sort().values, expected.flatten().sort().values)


def test_two_masks_hide_rows_and_columns():
    one, two = Mask("attention_mask", 2, 3), Mask("encoder_attention_mask", 2, 4)
    node = type("Node", (), {"meta": {"val": torch.empty(2, 5, 3, 4)}})()
    kept = {one: torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()}
    kept[two] = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0]]).bool()
    value = torch.randn(2, 5, 3, 4)
    chosen = Padding((one, two)).select(node, value, kept)
    where = kept[one][:, :, None] & kept[two][:, None, :]
    assert torch.equal(chosen, value.movedim((0, 2, 3), (0, 1, 2))[where])
