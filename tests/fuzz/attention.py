"""Attention in many spellings."""

from __future__ import annotations

from .builder import Builder, Skip, Value
from .registry import step


def _tokens(b: Builder, even: int = 2) -> tuple[Value, int]:
    x = b.pick(3, lambda v: v.dims[2] is not None and v.dims[2] % even == 0)
    return x, b.channels(x, 2)


def _mask_of(b: Builder, x: Value) -> Value | None:
    """Return a truth value for each token, where the model has one."""
    for value in b.values:
        if str(value.dtype) == "torch.bool" and value.rank == 2:
            shapes = zip(value.tensors, x.tensors, strict=True)
            if all(m.shape == t.shape[:2] for m, t in shapes):
                return value
    return None


def _qkv(b: Builder, x: Value, width: int) -> tuple[str, str]:
    name = b.fresh("m")
    return name, f"self.{name} = nn.Linear({width}, {3 * width}, bias={b.chance(0.7)})"


@step("attention")
def separate_layers(b: Builder):
    x, width = _tokens(b)
    heads = b.choose(*[h for h in (1, 2, 4) if width % h == 0])
    names = [b.fresh("m") for _ in range(3)]
    init = [f"self.{n} = nn.Linear({width}, {width}, bias={b.chance(0.8)})" for n in names]
    split = f".view({x.size(0)}, -1, {heads}, {width // heads}).transpose(1, 2)"
    q, k, v = (f"self.{n}({x.name}){split}" for n in names)
    mask, causal = _mask_of(b, x) if b.chance(0.6) else None, b.chance(0.3)
    more = f", attn_mask={mask.name}[:, None, None, :]" if mask else ""
    if causal and not mask:
        more = ", is_causal=True"
    if b.chance(0.2):
        more += f", scale={b.number(0.1, 0.6)}"
    tail = f".transpose(1, 2).reshape({x.size(0)}, -1, {width})"
    reads = [x, mask] if mask else [x]
    b.call(f"F.scaled_dot_product_attention({q}, {k}, {v}{more}){tail}", *reads, init=init)


@step("attention")
def fused_layer(b: Builder):
    x, width = _tokens(b)
    heads = b.choose(*[h for h in (1, 2, 4) if width % h == 0])
    name, made = _qkv(b, x, width)
    size = width // heads
    batch = x.size(0)
    way = b.choose("permute", "chunk", "split", "unflatten")
    y = f"self.{name}({x.name})"
    lines = {
        "permute": [
            f"q, k, v = {y}.reshape({batch}, -1, 3, {heads}, {size}).permute(2, 0, 3, 1, 4)"
            ".unbind(0)"
        ],
        "chunk": [
            f"q, k, v = [z.view({batch}, -1, {heads}, {size}).transpose(1, 2)"
            f" for z in {y}.chunk(3, -1)]"
        ],
        "split": [
            f"q, k, v = [z.reshape({batch}, -1, {heads}, {size}).permute(0, 2, 1, 3)"
            f" for z in {y}.split({width}, dim=-1)]"
        ],
        "unflatten": [
            f"q, k, v = {y}.unflatten(-1, (3, {heads}, {size})).transpose(1, 3).unbind(2)"
        ],
    }[way]
    scale = b.choose(f"{size} ** -0.5", f"{b.number(0.2, 0.8)}")
    scores = b.choose(
        f"(q * {scale}) @ k.transpose(-2, -1)",
        f"(q @ k.transpose(-1, -2)) * ({scale})",
        f"torch.matmul(q, k.mT) / {b.number(1, 4)}",
        f"torch.einsum('bhqd,bhkd->bhqk', q, k) * {scale}",
    )
    back = f".transpose(1, 2).reshape({batch}, -1, {width})"
    lines += [f"a = ({scores}).softmax(dim=-1)", f"{{0}} = (a @ v){back}"]
    b.block(lines, [x], [made])


@step("attention")
def masked_by_hand(b: Builder):
    x, width = _tokens(b)
    mask = _mask_of(b, x)
    if mask is None:
        raise Skip("no mask")
    name, made = _qkv(b, x, width)
    low = b.choose("float('-inf')", "-1e4", "torch.finfo(torch.float32).min", "-1e9")
    hide = b.choose(
        f"s = s.masked_fill(~{mask.name}[:, None, :], {low})",
        f"s = torch.where({mask.name}[:, None, :], s, {low})",
        f"s = s + (1 - {mask.name}[:, None, :].float()) * -1e4",
    )
    lines = [
        f"q, k, v = self.{name}({x.name}).chunk(3, -1)",
        f"s = q @ k.transpose(1, 2) / {width} ** 0.5",
        hide,
        "{0} = s.softmax(-1) @ v",
    ]
    if "inf" in low:
        lines[3] = "{0} = torch.nan_to_num(s.softmax(-1)) @ v"
    b.block(lines, [x, mask], [made])


@step("attention")
def causal_by_hand(b: Builder):
    x, width = _tokens(b)
    name, made = _qkv(b, x, width)
    tokens = f"{x.name}.shape[1]"
    mask = b.choose(
        f"torch.ones({tokens}, {tokens}, dtype=torch.bool).tril()",
        f"torch.arange({tokens})[:, None] >= torch.arange({tokens})[None]",
        f"~torch.triu(torch.ones({tokens}, {tokens}), 1).bool()",
    )
    lines = [
        f"q, k, v = self.{name}({x.name}).chunk(3, -1)",
        f"s = torch.bmm(q, k.transpose(1, 2)) * {b.number(0.1, 0.5)}",
        f"s = s.masked_fill(~({mask}), float('-inf'))",
        "{0} = torch.bmm(F.softmax(s, dim=-1), v)",
    ]
    b.block(lines, [x], [made])


@step("attention")
def module(b: Builder):
    x, width = _tokens(b)
    heads = b.choose(1, 2)
    name = b.fresh("m")
    init = [f"self.{name} = nn.MultiheadAttention({width}, {heads}, batch_first=True)"]
    mask = _mask_of(b, x) if b.chance(0.3) else None
    given = f"{x.name}, {x.name}, {x.name}"
    if mask:
        # A row that may see nothing is NaN: the first token is always there.
        lines = [
            f"p = ~{mask.name} & (torch.arange({x.size(1)}) > 0)",
            f"{{0}} = self.{name}({given}, key_padding_mask=p, need_weights=False)[0]",
        ]
        b.block(lines, [x, mask], init)
        return
    if b.chance(0.4):
        b.block([f"{{0}}, {{1}} = self.{name}({given})"], [x], init, makes=2)
        return
    b.call(f"self.{name}({given}, need_weights=False)[0]", x, init=init)


@step("attention")
def grouped(b: Builder):
    """Several queries for each key."""
    x, width = _tokens(b, 4)
    size = width // 4
    names = [b.fresh("m") for _ in range(3)]
    init = [f"self.{names[0]} = nn.Linear({width}, {width})"]
    init += [f"self.{n} = nn.Linear({width}, {2 * size})" for n in names[1:]]
    batch = x.size(0)
    q = f"self.{names[0]}({x.name}).view({batch}, -1, 4, {size}).transpose(1, 2)"
    k, v = (f"self.{n}({x.name}).view({batch}, -1, 2, {size}).transpose(1, 2)" for n in names[1:])
    if b.chance(0.5):
        code = f"F.scaled_dot_product_attention({q}, {k}, {v}, enable_gqa=True)"
    else:
        k, v = (f"{t}.repeat_interleave(2, dim=1)" for t in (k, v))
        code = f"F.scaled_dot_product_attention({q}, {k}, {v}, is_causal={b.chance(0.5)})"
    b.call(f"{code}.transpose(1, 2).reshape({batch}, -1, {width})", x, init=init)


@step("attention")
def across(b: Builder):
    """Tokens look at those of another value."""
    x, width = _tokens(b)
    y = b.pick(3, lambda v: v.dims[0] == x.dims[0] and v.dims[2] is not None)
    names = [b.fresh("m") for _ in range(2)]
    init = [
        f"self.{names[0]} = nn.Linear({width}, {width})",
        f"self.{names[1]} = nn.Linear({b.channels(y, 2)}, {2 * width})",
    ]
    lines = [
        f"k, v = self.{names[1]}({y.name}).chunk(2, -1)",
        f"{{0}} = F.scaled_dot_product_attention(self.{names[0]}({x.name}), k, v)",
    ]
    b.block(lines, [x, y], init)


@step("attention")
def biased(b: Builder):
    """A learnt bias on the scores, of fixed tokens."""
    x, width = _tokens(b)
    tokens = b.channels(x, 1)
    bias, made = b.weight(1, tokens, tokens)
    name, layer = _qkv(b, x, width)
    lines = [
        f"q, k, v = self.{name}({x.name}).chunk(3, -1)",
        f"{{0}} = F.scaled_dot_product_attention(q, k, v, attn_mask={bias})",
    ]
    b.block(lines, [x], [layer, made])


@step("attention")
def linear_attention(b: Builder):
    x, width = _tokens(b)
    name, made = _qkv(b, x, width)
    lines = [
        f"q, k, v = self.{name}({x.name}).chunk(3, -1)",
        "q, k = F.elu(q) + 1, F.elu(k) + 1",
        "{0} = (q @ (k.transpose(1, 2) @ v)) / (q @ k.sum(1)[:, :, None])",
    ]
    b.block(lines, [x], [made])


@step("attention")
def block(b: Builder):
    """A whole layer of an encoder."""
    x, width = _tokens(b)
    first = b.chance(0.5)
    act = b.choose("relu", "gelu")
    b.layer(
        f"nn.TransformerEncoderLayer({width}, {b.choose(1, 2)}, {2 * width}, 0.1, '{act}', "
        f"batch_first=True, norm_first={first})",
        x,
    )
