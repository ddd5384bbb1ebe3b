"""Recurrent layers and cells."""

from __future__ import annotations

from .builder import Builder
from .registry import step


@step("recurrent")
def layer(b: Builder):
    x = b.pick(3)
    kind = b.choose("LSTM", "GRU", "RNN")
    width, hidden = b.channels(x, 2), b.choose(4, 5)
    layers = b.choose(1, 1, 2)
    both = b.chance(0.4)
    first = b.chance(0.8)
    more = ", nonlinearity='relu'" if kind == "RNN" and b.chance(0.4) else ""
    projected = ", proj_size=3" if kind == "LSTM" and b.chance(0.15) else ""
    name = b.fresh("m")
    init = [
        f"self.{name} = nn.{kind}({width}, {hidden}, num_layers={layers}, bias={b.chance(0.9)}, "
        f"batch_first={first}, bidirectional={both}{projected}{more})"
    ]
    if b.chance(0.4):
        state = "{1}" if kind != "LSTM" else "({1}, s)"
        b.block([f"{{0}}, {state} = self.{name}({x.name})"], [x], init, makes=2)
        return
    b.call(f"self.{name}({x.name})[0]", x, init=init)


@step("recurrent")
def with_state(b: Builder):
    x = b.pick(3)
    width = b.channels(x, 2)
    name = b.fresh("m")
    kind = b.choose("LSTM", "GRU")
    init = [f"self.{name} = nn.{kind}({width}, 4, batch_first=True)"]
    zero = f"torch.zeros(1, {x.name}.shape[0], 4) + 0.1"
    state = f"({zero}, {zero})" if kind == "LSTM" else zero
    b.call(f"self.{name}({x.name}, {state})[0]", x, init=init)


@step("recurrent")
def cell(b: Builder):
    """A loop over a few tokens, unrolled."""
    x = b.pick(3, lambda v: v.least(1) >= 2)
    width = b.channels(x, 2)
    name = b.fresh("m")
    init = [f"self.{name} = nn.{b.choose('GRUCell', 'RNNCell')}({width}, 4)"]
    lines = [
        f"s = torch.zeros({x.name}.shape[0], 4)",
        f"s = self.{name}({x.name}[:, 0], s)",
        f"{{0}} = self.{name}({x.name}[:, 1], s)",
    ]
    b.block(lines, [x], init)


@step("recurrent")
def backwards(b: Builder):
    x = b.pick(3)
    name = b.fresh("m")
    init = [f"self.{name} = nn.GRU({b.channels(x, 2)}, 4, batch_first=True)"]
    b.call(f"self.{name}({x.name}.flip(1))[0].flip(1)", x, init=init)
