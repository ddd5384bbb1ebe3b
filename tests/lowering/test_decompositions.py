"""Operators made of others: the same numbers in float64, at edges, and in the file."""

import math

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.lowering.decompositions import DECOMPOSITIONS

from .models import OPSET, assert_agrees

aten = torch.ops.aten
ROUNDING = 1e-9
"""In float64, relative or near zero absolute; some functions cancel."""
ERFINV = 1e-6
"""Its start is a float32 approximation, mended twice."""
FLOAT32 = 1e-4
"""Of an exponential of 88, and of what a recurrence of 60 steps sums up."""
TAIL = 1e-8
"""The series of erfcx has six terms, of which the next is this at 8."""
draw = torch.Generator().manual_seed(0)
X = torch.randn(4, 6, generator=draw, dtype=torch.float64) * 3
Y = torch.randn(4, 6, generator=draw, dtype=torch.float64) * 3
EDGES = torch.tensor(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1e-9,
        -1e-9,
        2.5,
        30.0,
        -30.0,
        1e4,
        -1e4,
        math.inf,
        -math.inf,
    ],
    dtype=torch.float64,
)
LEFT, RIGHT = (side.reshape(-1) for side in torch.meshgrid(EDGES, EDGES, indexing="ij"))
UNKNOWN = torch.where(X > 2, math.nan, X)
UNARY = {
    "log1p": (aten.log1p.default, lambda x: x > -1),
    "expm1": (aten.expm1.default, lambda x: x < 700),
    "log_sigmoid": (aten.log_sigmoid.default, None),
    "digamma": (aten.digamma.default, lambda x: (x.abs() > 1e-8) | (x == 0)),
    "lgamma": (aten.lgamma.default, None),
    "erfc": (aten.erfc.default, None),
    "erfcx": (aten.special_erfcx.default, lambda x: x > -20),
    "log_ndtr": (aten.special_log_ndtr.default, lambda x: x.abs() < 1e3),
    "spherical_bessel_j0": (aten.special_spherical_bessel_j0.default, None),
    "i0": (aten.i0.default, lambda x: x.abs() < 100),
    "i0e": (aten.special_i0e.default, None),
    "i1": (aten.special_i1.default, lambda x: x.abs() < 100),
    "i1e": (aten.special_i1e.default, None),
    "signbit": (aten.signbit.default, None),
    "angle": (aten.angle.default, None),
}
BINARY = {
    "logaddexp": aten.logaddexp.default,
    "logaddexp2": aten.logaddexp2.default,
    "atan2": aten.atan2.default,
    "copysign": aten.copysign.Tensor,
    "hypot": aten.hypot.default,
    "fmax": aten.fmax.default,
    "fmin": aten.fmin.default,
}
INDEX = torch.tensor([[0, 1, 1, 3, 0, 2], [2, 2, 2, 1, 3, 0]])
MEAN = {"reduce": "mean", "include_self": False}
SORTED = X.sort(-1).values
CALLS = {
    "cdist 0": (aten._cdist_forward.default, (X, Y, 0.0, None)),
    "cdist 1.5": (aten._cdist_forward.default, (X, Y, 1.5, None)),
    "cdist inf": (aten._cdist_forward.default, (X, Y, math.inf, None)),
    "pdist": (aten._pdist_forward.default, (X, 2.0)),
    "logcumsumexp": (aten.logcumsumexp.default, (X * 300, 1)),
    "cummax": (aten.cummax.default, (X.round(), 1)),
    "cummin": (aten.cummin.default, (X.round(), 0)),
    "cumprod": (aten.cumprod.default, (X, -1)),
    "kthvalue": (aten.kthvalue.default, (X, 2, 0, True)),
    "median": (aten.median.default, (X,)),
    "median of unknown": (aten.median.dim, (UNKNOWN, 1)),
    "nanmedian": (aten.nanmedian.dim, (UNKNOWN, 0)),
    "searchsorted": (aten.searchsorted.Tensor, (SORTED, Y)),
    "bucketize": (aten.bucketize.Tensor, (Y.round(), EDGES.sort().values)),
    "isin": (aten.isin.Tensor_Tensor, (Y.round(), X.round())),
    "scatter mean": (aten.scatter_reduce.two, (X, 0, INDEX, Y, "mean")),
    "index mean": (aten.index_reduce.default, (X, 0, INDEX[0, 2:], Y, "mean")),
    "strided": (aten.as_strided_scatter.default, (X, Y[:2, :3], (2, 3), (6, 2), 1)),
    "put": (aten.put.default, (X, INDEX[0, 2:], Y[0, :4])),
    "chebyshev t": (aten.special_chebyshev_polynomial_t.default, (X, Y.abs().round())),
    "chebyshev u": (aten.special_chebyshev_polynomial_u.default, (X, Y.abs().round())),
    "chebyshev v": (aten.special_chebyshev_polynomial_v.default, (X, Y.abs().round())),
    "chebyshev w": (aten.special_chebyshev_polynomial_w.default, (X, Y.abs().round())),
}


def assert_same(overload, *args, tolerance=ROUNDING, **kwargs):
    made, wanted = DECOMPOSITIONS[overload](*args, **kwargs), overload(*args, **kwargs)
    torch.testing.assert_close(made, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_value_at_their_edges(name):
    overload, domain = UNARY[name]
    x = torch.cat([X.reshape(-1), EDGES])
    assert_same(overload, x if domain is None else x[domain(x)])


def test_derivatives_of_the_digamma_function():
    x = torch.linspace(-9.97, 60, 600, dtype=torch.float64)
    for order in (0, 1):
        assert_same(aten.polygamma.default, order, x)
    assert DECOMPOSITIONS[aten.polygamma.default](2, x) is NotImplemented


@pytest.mark.parametrize("letter", "tuvw")
@pytest.mark.parametrize("shifted", ["", "shifted_"])
def test_polynomials_of_high_degree_overflow_where_torch_does(letter, shifted):
    packet = getattr(aten, f"special_{shifted}chebyshev_polynomial_{letter}")
    ends = torch.tensor([0.0, 0.5, 1.0, 1.0001, 1.5, 7.0, 50.0, 200.0])
    degrees = torch.cat([torch.arange(-2.0, 40.0), torch.tensor([60.0, 100.0, 200.0])])
    x, n = torch.meshgrid(torch.cat([ends, -ends]), degrees, indexing="ij")
    assert_same(packet.default, x, n, tolerance=FLOAT32)


def test_small_tails_keep_their_digits():
    x = torch.linspace(1, 25, 49, dtype=torch.float64)
    made, wanted = DECOMPOSITIONS[aten.erfc.default](x), torch.erfc(x)
    torch.testing.assert_close(made, wanted, rtol=TAIL, atol=0.0)


def test_small_values_keep_their_digits():
    x = torch.tensor([1e-12, -1e-12, 3e-9], dtype=torch.float64)
    for overload in (aten.log1p.default, aten.expm1.default):
        torch.testing.assert_close(DECOMPOSITIONS[overload](x), overload(x), rtol=1e-12, atol=0)


def test_the_inverse_of_erf_up_to_its_poles():
    y = torch.cat([torch.linspace(-1, 1, 41, dtype=torch.float64), EDGES[:6]])
    assert_same(aten.erfinv.default, y, tolerance=ERFINV)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_values_at_their_edges(name):
    assert_same(BINARY[name], torch.cat([X.reshape(-1), LEFT]), torch.cat([Y.reshape(-1), RIGHT]))


@pytest.mark.parametrize("overload", [aten.atan2.default, aten.copysign.Tensor])
def test_a_zero_has_its_sign(overload):
    made, wanted = DECOMPOSITIONS[overload](LEFT, RIGHT), overload(LEFT, RIGHT)
    assert torch.equal(torch.signbit(made), torch.signbit(wanted))


@pytest.mark.parametrize("name", CALLS)
def test_calls_over_whole_tensors(name):
    overload, args = CALLS[name]
    assert_same(overload, *args)


CLASSES = torch.tensor([3, 0, 5, 2])
PROBABLE = torch.softmax(Y, 1)
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.1, 1.5, 3.0], dtype=torch.float64)
LOSSES = {
    "classes": (X, CLASSES),
    "weights": (X, CLASSES, WEIGHTS),
    "sum without one class": (X, CLASSES, WEIGHTS, 2, 5),
    "each": (X, CLASSES, None, 0),
    "probabilities": (X, PROBABLE, WEIGHTS, 1, -100, 0.1),
    "over space": (X.reshape(2, 3, 4), CLASSES.reshape(1, 4).expand(2, 4) % 3),
    "one": (X[0], CLASSES[0]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_cross_entropy(name):
    assert_same(aten.cross_entropy_loss.default, *LOSSES[name])


def test_cross_entropy_with_smooth_labels():
    assert_same(aten.cross_entropy_loss.default, X, CLASSES, None, 1, 0, 0.2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "norm", [aten.native_batch_norm.default, aten._native_batch_norm_legit_functional.default]
)
def test_a_batch_norm_with_its_statistics(norm, training):
    stored = (Y[0].clone(), Y[1].abs() + 0.5)
    made = DECOMPOSITIONS[norm](X, WEIGHTS, None, *stored, training, 0.1, 1e-5)
    wanted = norm(X, WEIGHTS, None, *stored, training, 0.1, 1e-5)
    torch.testing.assert_close(made, wanted, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("dim", [0, -1])
@pytest.mark.parametrize("keepdim", [False, True])
def test_the_most_frequent(dim, keepdim):
    for x in (X.round(), (X / 2).round().long(), X, X[0, 0]):
        assert_same(aten.mode.default, x, dim, keepdim)


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("overload", ["Tensor_Tensor", "Tensor_Scalar", "Scalar_Tensor"])
def test_ranges_between_tensors(overload, steps):
    ends = [X[0, 0] if kind == "Tensor" else 2.0 for kind in overload.split("_")]
    for packet in (aten.linspace, aten.logspace):
        assert_same(getattr(packet, overload), *ends, steps, dtype=torch.float64)


@pytest.mark.parametrize("offset", [0, 2, -1])
def test_a_diagonal_replaced(offset):
    diagonal = aten.diagonal_scatter.default
    assert_same(diagonal, X, Y.diagonal(offset), offset)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_a_scatter_leaves_out_what_was_there(reduce):
    assert_same(aten.scatter_reduce.two, X, 0, INDEX, Y - 50, reduce, include_self=False)


def test_a_scatter_that_onnx_has_stays():
    made = DECOMPOSITIONS[aten.scatter_reduce.two](X, 0, INDEX, Y, "sum")
    assert made is NotImplemented


class Edges(nn.Module):
    """Functions whose plain formulas break, each an output."""

    def forward(self, x, y):
        return (
            torch.atan2(x, y),
            torch.angle(x),
            torch.copysign(x, y),
            torch.signbit(x),
            torch.logaddexp(x, y),
            torch.logaddexp2(x, y),
            torch.nn.functional.logsigmoid(x),
            torch.log1p(x.abs()),
            torch.hypot(x, y),
            torch.fmax(x, y),
        )


def test_the_file_is_right_at_edges_that_the_example_is_far_from(tmp_path):
    batch = torch.export.Dim("batch", max=512)
    near = (torch.rand(4) + 0.6, torch.rand(4) + 0.6)
    program = capture(Edges().eval(), near, {"x": {0: batch}, "y": {0: batch}})
    finite = LEFT.isfinite() & RIGHT.isfinite() & (LEFT.abs() < 100) & (RIGHT.abs() < 100)
    assert_agrees(program, tmp_path, OPSET, LEFT[finite].float(), RIGHT[finite].float())


class Graph(nn.Module):
    """Edges that index nodes, reduced in several ways."""

    def forward(self, nodes, edges, target):
        index = target[:, None].expand(-1, 8)
        zeros = torch.zeros(nodes.shape[0], 8)
        return (
            zeros.scatter_reduce(0, index, edges, "mean", include_self=False),
            (zeros - 1).scatter_reduce(0, index, edges, "mean"),
            zeros.scatter_reduce(0, index, edges - 9, "amax", include_self=False),
            zeros.index_reduce(0, target, edges, "mean"),
        )


def test_a_mean_of_scattered_edges(tmp_path):
    target = torch.tensor([0, 3, 3, 1, 0, 0, 4])
    example = (torch.randn(5, 4), torch.randn(7, 8, generator=draw), target)
    assert_agrees(capture(Graph().eval(), example), tmp_path)


class Ranks(nn.Module):
    def forward(self, x):
        found = (x.median(), *x.median(1), *x.kthvalue(2, 0), *x.cummax(1), x.cumprod(0))
        found = (*found, *x.round().mode(1))
        return (*found, torch.cdist(x, x + 1), torch.bucketize(x, x[0].sort().values))


def test_ranks_and_scans_in_the_file(tmp_path):
    assert_agrees(capture(Ranks().eval(), (X.float() / 3,)), tmp_path)
