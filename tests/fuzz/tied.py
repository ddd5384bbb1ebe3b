"""One weight read several times."""

from __future__ import annotations

from .builder import Builder
from .registry import step


@step("tied")
def same_layer_twice(b: Builder):
    x = b.pick((2, 3, 4))
    width = b.channels(x, x.rank - 1)
    name = b.fresh("m")
    init = [f"self.{name} = nn.Linear({width}, {width})"]
    act = b.choose("torch.relu", "torch.tanh", "F.gelu")
    b.call(f"self.{name}({act}(self.{name}({x.name})))", x, init=init)


@step("tied")
def conv_with_two_norms(b: Builder):
    x = b.pick(4)
    names = [b.fresh("m") for _ in range(3)]
    init = [f"self.{names[0]} = nn.Conv2d({b.channels(x, 1)}, 6, 3, padding=1)"]
    init += [f"self.{n} = nn.BatchNorm2d(6)" for n in names[1:]]
    b.block(
        [
            f"t = self.{names[0]}({x.name})",
            f"{{0}} = self.{names[1]}(t) + torch.relu(self.{names[2]}(t))",
        ],
        [x],
        init,
    )


@step("tied")
def conv_of_two_values(b: Builder):
    x = b.pick(4)
    c = b.channels(x, 1)
    y = b.pick(4, lambda v: v.dims[1] == c)
    names = [b.fresh("m") for _ in range(2)]
    init = [f"self.{names[0]} = nn.Conv2d({c}, 4, 1)", f"self.{names[1]} = nn.BatchNorm2d(4)"]
    b.block(
        [
            f"{{0}} = self.{names[1]}(self.{names[0]}({x.name}))",
            f"{{1}} = self.{names[0]}({y.name})",
        ],
        [x, y],
        init,
        makes=2,
    )


@step("tied")
def transposed_weight(b: Builder):
    """Encode, and decode with the same weight."""
    x = b.pick((2, 3))
    width = b.channels(x, x.rank - 1)
    weight, made = b.weight(5, width, scale=0.4)
    b.call(f"F.linear(torch.relu(F.linear({x.name}, {weight})), {weight}.t())", x, init=[made])


@step("tied")
def tied_modules(b: Builder):
    x = b.pick((2, 3))
    width = b.channels(x, x.rank - 1)
    names = [b.fresh("m") for _ in range(2)]
    init = [f"self.{n} = nn.Linear({width}, {width})" for n in names]
    init.append(f"self.{names[1]}.weight = self.{names[0]}.weight")
    b.call(f"self.{names[1]}(torch.sigmoid(self.{names[0]}({x.name})))", x, init=init)
