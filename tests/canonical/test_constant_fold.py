import torch
from torch import nn

from .programs import BATCH, Call, canonical, ops, randn

X = (randn(3, 5, 4, 4),)
DYNAMIC = {"inputs": (BATCH,)}
ROUNDED_ONCE = 1e-6
"""A folded weight is rounded to float32, as in the model."""


def test_a_frozen_batch_norm_is_a_factor_and_an_offset():
    def forward(m, x):
        w, b, rv, rm = (t.reshape(1, -1, 1, 1) for t in (m.w, m.b, m.rv, m.rm))
        scale = w * (rv + 1e-5).rsqrt()
        return x * scale + (b - rm * scale)

    weights = {n: randn(5, seed=i).abs() + 0.1 for i, n in enumerate(("w", "b", "rv", "rm"))}
    program = canonical(Call(forward, **weights), X, DYNAMIC, bound=ROUNDED_ONCE)
    assert ops(program) == {"mul": 1, "add": 1}
    assert {tuple(t.shape) for _, t in program.used_weights()} == {(1, 5, 1, 1)}


def test_a_result_used_twice_is_stored_once():
    def forward(m, x):
        return x * m.w.exp() + x.exp() * m.w.exp()

    program = canonical(Call(forward, w=randn(4)), X, DYNAMIC, bound=ROUNDED_ONCE)
    assert len(list(program.used_weights())) == 1


def test_a_constant_keeps_the_dtype_it_was_computed_in():
    def forward(m, x):
        return x.double() * m.w.double().exp()

    program = canonical(Call(forward, w=randn(4)), X, DYNAMIC)
    assert [t.dtype for _, t in program.used_weights()] == [torch.float64]


def test_a_shared_weight_is_not_stored_again_in_another_layout():
    def forward(m, x):
        return x * m.w.view(2, 2) + nn.functional.pad(m.w, (0, 12)).view(4, 4), m.w

    program = canonical(Call(lambda m, x: (x * m.w.view(4, 1), m.w), w=randn(4)), X, DYNAMIC)
    assert ops(program)["reshape"] == 1
    assert [name for name, _ in program.used_weights()] == ["w"]


def test_a_large_result_is_left_to_the_runtime():
    def forward(m, x):
        return x + (m.w * m.w.view(-1, 1)).sum() + (m.w.expand(300, 300) * 2)[:4, :4]

    program = canonical(Call(lambda m, x: x.sum() + m.w.expand(300, 300) * 2, w=randn(300)), X)
    assert ops(program)["expand"] == 1


def test_random_calls_stay():
    class Noise(nn.Module):
        def forward(self, x):
            return x, torch.rand(3)

    from rewrite.canonical import canonicalise

    from .programs import raw

    program = raw(Noise(), X)
    canonicalise(program)
    assert ops(program)["rand"] == 1


def test_sizes_known_at_run_time_stay():
    def forward(m, x):
        return x + torch.arange(x.shape[0], dtype=x.dtype).view(-1, 1, 1, 1)

    program = canonical(Call(forward), X, DYNAMIC)
    assert ops(program)["arange"] == 1
