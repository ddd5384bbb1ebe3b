"""Weights whose names a graph module keeps for itself, or that are words of Python."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rewrite.capture import capture

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


class Taken(nn.Module):
    """A layer, a buffer and a plain tensor, one of them with the given name."""

    def __init__(self, kind: str, name: str):
        super().__init__()
        self.plain = nn.Linear(4, 4)
        self.name = name
        if kind == "layer":
            self.add_module(name, nn.Linear(4, 4))
        elif kind == "buffer":
            self.register_buffer(name, torch.rand(4))
        else:
            setattr(self, name, torch.rand(4))

    def forward(self, x):
        taken = getattr(self, self.name)
        return self.plain(x) * (taken(x) if isinstance(taken, nn.Module) else taken)


class Keyed(nn.Module):
    """Heads by words of Python, beside one that is called as such a word is called then."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({key: nn.Linear(4, 4) for key in ("in", "in_", "is", "a b")})
        self.scales = nn.ParameterDict({"for": torch.rand(4), "for_": torch.rand(4)})

    def forward(self, x):
        heads = [head(x) for head in self.heads.values()]
        return [*heads, x * self.scales["for"] - self.scales["for_"]]


@pytest.mark.parametrize("kind", ["layer", "buffer", "tensor"])
@pytest.mark.parametrize("name", ["graph", "code", "meta", "recompile", "shape_env", "_graph"])
def test_a_weight_may_have_the_name_of_what_a_graph_module_holds(kind, name):
    model = Taken(kind, name).eval()
    torch.testing.assert_close(capture(model, (X,))(X), model(X), rtol=0, atol=1e-6)


def test_a_layer_may_have_a_word_of_python_as_its_key():
    model = Keyed().eval()
    program = capture(model, (X,))
    torch.testing.assert_close(program(X), model(X), rtol=0, atol=1e-6)
    weights = {name for name, _ in program.used_weights() if name.startswith("heads.in")}
    assert weights == {"heads.in__.weight", "heads.in__.bias", "heads.in_.weight", "heads.in_.bias"}
