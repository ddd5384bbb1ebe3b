"""Systems of a few equations: the numbers of LAPACK in float64, and the file on both runtimes."""

import pytest
import torch
from torch import nn

from rewrite import capture
from rewrite.errors import CheckError
from rewrite.lowering.decompositions import DECOMPOSITIONS
from rewrite.lowering.decompositions.matrices import LARGEST

from .models import Call, assert_agrees, lowered

aten = torch.ops.aten
ROUNDING = 1e-9
draw = torch.Generator().manual_seed(0)
SHAPES = [(5, 5), (3, 4, 4), (2, 3, 6, 6), (1, 1)]
OBLONG = [(3, 6, 4), (4, 6), (2, 1, 3), (5, 5)]


def random(*shape):
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def assert_same(overload, *args, **kwargs):
    made, wanted = DECOMPOSITIONS[overload](*args, **kwargs), overload(*args, **kwargs)
    torch.testing.assert_close(made, wanted, rtol=ROUNDING, atol=ROUNDING, check_stride=False)


@pytest.mark.parametrize("shape", SHAPES)
def test_systems_and_inverses(shape):
    a, b = random(*shape), random(*shape[:-1], 7)
    assert_same(aten.linalg_inv_ex.default, a)
    assert_same(aten.linalg_solve.default, a, b)
    assert_same(aten.linalg_solve.default, a, b.mT, left=False)
    assert_same(aten.linalg_solve.default, a, b[..., 0])
    assert_same(aten.linalg_slogdet.default, a)


@pytest.mark.parametrize("shape", [*SHAPES, *OBLONG])
def test_a_factored_matrix(shape):
    assert_same(aten.linalg_lu_factor_ex.default, random(*shape))
    assert_same(aten.linalg_lu.default, random(*shape))


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [True, False])
def test_a_system_of_a_factored_matrix(left, adjoint):
    factored, b = torch.linalg.lu_factor(random(2, 5, 5)), random(2, 5, 3)
    sides = {"left": left, "adjoint": adjoint}
    assert_same(aten.linalg_lu_solve.default, *factored, b if left else b.mT, **sides)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("upper", [True, False])
def test_positive_matrices(shape, upper):
    a = random(*shape)
    a = a @ a.mT + torch.eye(shape[-1], dtype=torch.float64)
    factor = torch.linalg.cholesky(a, upper=upper)
    assert_same(aten.linalg_cholesky_ex.default, a, upper=upper)
    assert_same(aten.cholesky_solve.default, random(*shape[:-1], 3), factor, upper)
    assert_same(aten.cholesky_inverse.default, factor, upper)


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("unit", [True, False])
def test_triangular_systems(upper, unit):
    a, b = random(2, 5, 5), random(2, 5, 3)
    solve = aten.linalg_solve_triangular.default
    assert_same(solve, a, b, upper=upper, unitriangular=unit)
    assert_same(solve, a, b.mT, upper=upper, unitriangular=unit, left=False)
    assert_same(aten.triangular_solve.default, b, a, upper, True, unit)


def test_what_cannot_be_factored_says_at_which_pivot():
    singular = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 1.0], [0.0, 0.0, 3.0]])
    assert_same(aten.linalg_lu_factor_ex.default, singular.double())
    _, info = DECOMPOSITIONS[aten.linalg_cholesky_ex.default](torch.diag(torch.tensor([1.0, -1.0])))
    assert info.item() == 2


@pytest.mark.parametrize("shape", OBLONG)
@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
def test_reflections(shape, mode):
    a = random(*shape)
    assert_same(aten.linalg_qr.default, a, mode)
    assert_same(aten.geqrf.default, a)


@pytest.mark.parametrize("turned", [True, False])
def test_products_with_reflections(turned):
    vectors, factors = torch.geqrf(random(2, 6, 4))
    other = random(2, 6, 3)
    assert_same(aten.linalg_householder_product.default, vectors, factors)
    assert_same(aten.ormqr.default, vectors, factors, other, True, turned)
    assert_same(aten.ormqr.default, vectors, factors, other.mT, False, turned)


def test_a_column_of_zeros_needs_no_reflection():
    assert_same(aten.linalg_qr.default, torch.tensor([[0.0, 1.0], [0.0, 2.0]]).double())


class Cameras(nn.Module):
    """Matrices of cameras, inverted and solved for as detectors in a bird's view do."""

    def forward(self, cameras, points):
        spread = cameras @ cameras.mT + torch.eye(4)
        return (
            torch.inverse(cameras),
            torch.linalg.solve(cameras, points),
            torch.linalg.cholesky(spread),
            torch.linalg.qr(cameras)[1],
            torch.linalg.slogdet(cameras)[1],
        )


def test_a_batch_of_any_size_in_the_file(tmp_path):
    inputs = (torch.randn(3, 4, 4, generator=draw), torch.randn(3, 4, 2, generator=draw))
    dynamic = {0: torch.export.Dim("batch", min=2)}
    assert_agrees(capture(Cameras().eval(), inputs, (dynamic, dynamic)), tmp_path)


def test_complex_and_larger_matrices_are_declined():
    inverse = DECOMPOSITIONS[aten.linalg_inv.default]
    assert inverse(torch.eye(LARGEST)) is not NotImplemented
    assert inverse(torch.eye(LARGEST + 1)) is NotImplemented
    assert inverse(torch.eye(2, dtype=torch.complex64)) is NotImplemented


def test_a_larger_matrix_is_refused():
    program = capture(Call(torch.linalg.inv).eval(), (torch.eye(LARGEST + 1),))
    with pytest.raises(CheckError, match="no ONNX translation for"):
        lowered(program)
