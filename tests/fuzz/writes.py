"""Writes in place: to fresh values, to slices of these, to inputs."""

from __future__ import annotations

from .builder import Builder, Skip
from .registry import step


@step("writes")
def fresh(b: Builder):
    x = b.pick((2, 3, 4))
    n = x.name
    write = b.choose(
        "t += 1",
        "t *= 0.5",
        "t.add_(0.25)",
        "t.mul_(t)",
        "t.clamp_(-1, 1)",
        "t.relu_()",
        "t.neg_()",
        "t.sigmoid_()",
        f"t.copy_({n}.flip(0))",
        "t.zero_()",
        f"t.sub_({n}, alpha=0.5)",
        "t.masked_fill_(t > 0.5, 0.5)",
        f"t.addcmul_({n}, {n}, value=0.1)",
    )
    made = b.choose(
        f"{n}.clone()", f"{n} + 0", f"{n} * 2", f"torch.zeros_like({n})", f"torch.relu({n})"
    )
    b.block([f"t = {made}", write, "{0} = t"], [x])


@step("writes")
def part(b: Builder):
    x = b.pick((2, 3, 4))
    n = x.name
    where = b.choose(
        "t[:, :1]", "t[..., 0]", "t[:, 1:]", "t[..., ::2]", "t[0]", "t[:, -1]", "t[:, :, :1]"
    )
    if where.startswith("t[:, :, ") and x.rank < 3:
        raise Skip("rank")
    write = b.choose(
        f"{where} = 0.5",
        f"{where} += 1",
        f"{where} *= 2",
        f"{where}.fill_(0.3)",
        f"{where} = {where} * 3",
    )
    b.block([f"t = {n}.clone()", write, f"{{0}} = t{b.choose('', ' + ' + n)}"], [x])


@step("writes")
def halves(b: Builder):
    """A new tensor, filled part by part."""
    x = b.pick((2, 3))
    n, width = x.name, b.channels(x, x.rank - 1)
    lines = [
        f"t = torch.zeros({', '.join(x.size(i) for i in range(x.rank - 1))}, {2 * width})",
        f"t[..., :{width}] = {n}",
        f"t[..., {width}:] = {n} * 3",
        "{0} = t",
    ]
    if b.chance(0.4):
        lines[1:3] = [f"t[..., 0::2] = {n}", f"t[..., 1::2] = {n}.sin()"]
    b.block(lines, [x])


@step("writes")
def view(b: Builder):
    """A write through a view."""
    x = b.pick((2, 3))
    n = x.name
    lines = [
        f"t = {n} * 1.5",
        f"u = t{b.choose('.transpose(0, 1)', '[..., 1:]', '.flatten()', '.unsqueeze(0)')}",
    ]
    lines += [b.choose("u += 1", "u.mul_(0.5)", "u.relu_()"), "{0} = t"]
    b.block(lines, [x])


@step("writes")
def to_input(b: Builder):
    if b.chance(0.6):
        raise Skip("one such model in a while")
    x = b.pick((2, 3, 4), lambda v: v.made_by == "input")
    n = x.name
    write = b.choose(
        f"{n} *= 0.5",
        f"{n}.add_(1)",
        f"{n}[:, 0] = 0.1",
        f"{n}.clamp_(-1, 1)",
        f"{n}.div_(2).sub_(0.1)",
    )
    b.block([write, f"{{0}} = {n} * {b.number()}"], [x])


@step("writes")
def activation_in_place(b: Builder):
    x = b.pick(4)
    name = b.fresh("m")
    act = b.choose("ReLU", "SiLU", "Hardswish", "LeakyReLU", "ReLU6", "ELU")
    more = "1.0, True" if act == "ELU" else "0.1, True" if act == "LeakyReLU" else "True"
    init = [f"self.{name} = nn.Sequential(nn.Conv2d({b.channels(x, 1)}, 6, 1), nn.{act}({more}))"]
    b.block([f"t = self.{name}({x.name})", f"t += {b.number()}", "{0} = t"], [x], init)


@step("writes")
def scattered(b: Builder):
    x = b.pick(2)
    n = x.name
    lines = b.choose(
        [f"i = {n}.argmax(-1, keepdim=True)", f"{{0}} = {n}.scatter(1, i, 0.0)"],
        [
            f"i = torch.arange({x.size(1)}).flip(0)",
            f"{{0}} = torch.zeros_like({n}).index_copy(1, i, {n})",
        ],
        [f"i = torch.zeros({x.size(1)}, dtype=torch.long)", f"{{0}} = {n}.index_add(1, i, {n})"],
        [f"t = torch.zeros_like({n})", f"t[:, [0]] = {n}[:, [-1]]", "{0} = t"],
        [
            f"i = (torch.arange({x.size(1)}) // 2).expand_as({n})",
            f"{{0}} = torch.zeros_like({n}).scatter_add(1, i, {n})",
        ],
    )
    b.block(lines, [x])
