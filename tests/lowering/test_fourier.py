"""Fourier transforms, as products or over the second axis: the same numbers on every runtime."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from rewrite import capture
from rewrite.lowering.decompositions import DECOMPOSITIONS
from rewrite.lowering.fourier_matrix import BACK, FORWARD, FROM_REAL, TO_REAL, matrix
from rewrite.runtimes import get_runtime

from .models import Call, lowered, written

aten = torch.ops.aten
RUNTIMES = ("onnxruntime", "openvino")
CLOSE = 3e-6
"""Of the length of a spectrum and its signal: float32 sums in another order."""
draw = torch.Generator().manual_seed(0)
LARGE = 1024
LARGE = 1024
BY_PRODUCT, LONG = (3, 8, 5), (1, 512, 2)


@pytest.mark.parametrize("shape", [BY_PRODUCT, LONG, (1, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize("normalization", [0, 1, 2])
@pytest.mark.parametrize("dim", [(1,), (0,), (2,), (0, 2), (1, 0, 2)])
def test_the_same_as_torch_in_float64(shape, normalization, dim):
    real = torch.randn(shape, generator=draw, dtype=torch.float64)
    numbers = torch.complex(real, torch.randn(shape, generator=draw, dtype=torch.float64))
    cases = [(aten._fft_r2c.default, real, (one_sided,)) for one_sided in (True, False)]
    cases += [(aten._fft_c2c.default, numbers, (forward,)) for forward in (True, False)]
    half = aten._fft_r2c.default(real, dim, 0, True)
    half = torch.complex(half.real, half.imag + 1.0)  # some of which count for nothing
    cases += [(aten._fft_c2r.default, half, (shape[dim[-1]],))]
    for op, given, options in cases:
        made = DECOMPOSITIONS[op](given, dim, normalization, *options)
        if made is NotImplemented:
            continue
        wanted = op(given, dim, normalization, *options)
        torch.testing.assert_close(made, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_matrices_undo_each_other(size):
    kept = size // 2 + 1
    there, back = (matrix(way, size, size) for way in (FORWARD, BACK))
    assert abs(there @ back / size - torch.eye(2 * size).numpy()).max() < 1e-12
    there, back = matrix(FROM_REAL, size, kept), matrix(TO_REAL, size, kept)
    assert abs(there @ back / size - torch.eye(size).numpy()).max() < 1e-12


def assert_close(program, folder, runtime, *inputs):
    """Hold the file of a program of one input to it on a runtime."""
    path = written(lowered(program), folder)
    loaded = get_runtime(runtime).load(path, threads=1)
    for x in inputs:
        found = loaded.run({program.signature.input_names[0]: x.numpy()})
        wanted = program(x)
        names = program.signature.output_names
        for name, value in zip(names, pytree.tree_leaves(wanted), strict=True):
            made = torch.from_numpy(found[name])
            assert made.shape == value.shape, name
            assert (made - value).norm() <= CLOSE * (value.norm() + x.norm()), name


def spectra(x):
    half = torch.fft.rfft(x, dim=-1, norm="ortho")
    maps = torch.fft.rfft2(x)
    turned = torch.fft.fft2(x, norm="forward")
    return (
        half.real,
        torch.fft.irfft(half * 0.5, n=x.shape[-1]),
        torch.fft.irfft2(maps, s=x.shape[-2:], norm="ortho"),
        turned.imag,
        torch.fft.ifft(turned, dim=0).real,
        torch.fft.fft(x, dim=1).imag,
        torch.fft.hfft(half, n=x.shape[-1]),
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("shape", [(2, 7, 16), (2, 512, 6), (1, 1, 2)])
def test_files_of_fixed_sizes(shape, runtime, tmp_path):
    pytest.importorskip(runtime)
    x = torch.randn(shape, generator=draw)
    assert_close(capture(Call(spectra).eval(), (x,)), tmp_path, runtime, x)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_files_of_other_lengths(runtime, tmp_path):
    pytest.importorskip(runtime)
    batch, height, width = (torch.export.Dim(name, min=2, max=64) for name in "bhw")
    program = capture(
        Call(spectra).eval(),
        (torch.randn(2, 6, 10, generator=draw),),
        dynamic_shapes=({0: batch, 1: height, 2: width},),
    )
    shapes = ((3, 5, 7), (2, 9, 16), (5, 4, 3))
    others = [torch.randn(shape, generator=draw) for shape in shapes]
    assert_close(program, tmp_path, runtime, *others)


class Mixer(nn.Module):
    """Tokens mixed by their transform, three times."""

    def forward(self, x):
        for _ in range(3):
            x = x + torch.fft.fft2(x).real
        return x


def test_a_file_holds_a_matrix_once(tmp_path):
    program = capture(Mixer().eval(), (torch.randn(1, 40, 48, generator=draw),))
    assert_close(program, tmp_path, "onnxruntime", program.example[0][0])
    held = [value.const_value for value in lowered(program).model.graph.initializers.values()]
    assert sorted(tuple(value.shape) for value in held if value.size > LARGE) == [
        (80, 80),
        (96, 96),
    ]
