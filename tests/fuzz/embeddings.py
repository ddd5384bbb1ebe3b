"""Tables that integers look up."""

from __future__ import annotations

from .builder import Builder, Skip, Value
from .registry import step


def _ids(b: Builder, ranks=(1, 2)) -> tuple[Value, int]:
    x = b.pick(ranks, kind="int")
    for each in b.inputs:
        if each.name == x.name:
            return x, each.high
    raise Skip("not ids")


@step("embeddings")
def embedding(b: Builder):
    x, high = _ids(b)
    more = b.choose("", "", ", padding_idx=0")
    b.layer(f"nn.Embedding({high}, {b.choose(4, 8)}{more})", x)


@step("embeddings")
def positions(b: Builder):
    x = b.pick(3)
    name = b.fresh("m")
    init = [f"self.{name} = nn.Embedding(64, {b.channels(x, 2)})"]
    b.call(f"{x.name} + self.{name}(torch.arange({x.name}.shape[1]))", x, init=init)


@step("embeddings")
def sliced_positions(b: Builder):
    x = b.pick(3)
    weight, made = b.weight(1, 64, b.channels(x, 2))
    b.call(f"{x.name} + {weight}[:, : {x.name}.shape[1]]", x, init=[made])


@step("embeddings")
def table_of_rows(b: Builder):
    x, high = _ids(b)
    weight, made = b.weight(high, 6)
    b.call(
        b.choose(
            f"{weight}[{x.name}]",
            f"F.embedding({x.name}, {weight})",
            f"{weight}.index_select(0, {x.name}.flatten())",
        ),
        x,
        init=[made],
    )


@step("embeddings")
def one_hot(b: Builder):
    x, high = _ids(b)
    b.call(
        b.choose(
            f"F.one_hot({x.name}, {high}).float()",
            f"({x.name}[..., None] == torch.arange({high})).float()",
        ),
        x,
    )


@step("embeddings")
def bag(b: Builder):
    x, high = _ids(b, (2,))
    b.layer(f"nn.EmbeddingBag({high}, 6, mode='{b.choose('mean', 'sum')}')", x)


@step("embeddings")
def gather(b: Builder):
    """Rows of a value by ids; ids wrap around."""
    ids = b.pick(2, kind="int")
    x = b.pick(3, lambda v: v.dims[0] == ids.dims[0])
    i = f"({ids.name} % {x.name}.shape[1])"
    b.call(
        b.choose(
            f"torch.gather({x.name}, 1, {i}[:, :, None].expand(-1, -1, {x.size(2)}))",
            f"torch.take_along_dim({x.name}, {i}[:, :, None], 1)",
            f"{x.name}[torch.arange({x.size(0)})[:, None], {i}]",
        ),
        x,
        ids,
    )


@step("embeddings")
def tied(b: Builder):
    """A table that looks up and scores."""
    x, high = _ids(b)
    name = b.fresh("m")
    init = [f"self.{name} = nn.Embedding({high}, 6)"]
    b.block(
        [f"e = torch.tanh(self.{name}({x.name}))", f"{{0}} = F.linear(e, self.{name}.weight)"],
        [x],
        init,
    )
