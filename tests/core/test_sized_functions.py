"""Functions whose kernels fix a size or branch on values: the program follows every size."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rewrite import capture

BATCH, SIZE = torch.export.Dim("batch", min=2, max=30), torch.export.Dim("size", min=3, max=30)
CLOSE = 1e-4
"""cdist of more than 25 rows is computed from products in eager torch."""


def image(x):
    return x.reshape(x.shape[0], 1, 1, -1).expand(-1, 2, 4, -1)


def resampled(x, corners):
    turn = torch.tensor([[0.8, 0.3, 0.1], [-0.2, 0.9, 0.0]]).expand(x.shape[0], 2, 3)
    return F.affine_grid(turn, image(x).shape, align_corners=corners)


def doubled(x):
    return torch.cat([x, x * 2], 1)


FUNCTIONS = {
    "take_along_dim": lambda x: torch.take_along_dim(x, x.argsort(1), 1),
    "take_along_dim, one row for all": lambda x: x.take_along_dim(x[:1].argsort(1), 1),
    "take_along_dim, one column": lambda x: torch.take_along_dim(x[:, :1], x.argsort(0), 0),
    "take_along_dim, everything": lambda x: torch.take_along_dim(x, x.reshape(-1).argsort()),
    "cdist": lambda x: torch.cdist(x, x + 1),
    "cdist, p": lambda x: torch.cdist(x, x + 1, 1.0),
    "one_hot": lambda x: F.one_hot(x.argsort(1), x.shape[1]),
    "affine_grid": lambda x: resampled(x, False),
    "affine_grid at corners": lambda x: resampled(x, True),
    "chunk": lambda x: doubled(x).chunk(2, 1)[1],
    "tensor_split": lambda x: [part * 2 for part in x.tensor_split(2, 1)],
    "kron": lambda x: torch.kron(x, x[:2, :2]),
    "kron of ranks": lambda x: torch.kron(x, x[0]),
    "linspace": lambda x: torch.linspace(-1, 2, x.shape[1]),
    "logspace": lambda x: torch.logspace(-1, 2, x.shape[1], 2.0),
    "hann_window": lambda x: torch.hann_window(x.shape[1]) * x,
    "hamming_window": lambda x: torch.hamming_window(x.shape[1], False) * x,
    "cov": torch.cov,
    "cov of one variable": lambda x: torch.cov(x[0], correction=0),
    "cov, weights": lambda x: torch.cov(
        x, correction=2, fweights=x[0].argsort() + 1, aweights=x[1].abs()
    ),
    "cov, repeated": lambda x: torch.cov(x, fweights=x[0].argsort() + 1),
    "corrcoef": torch.corrcoef,
    "rfft, orthonormal": lambda x: torch.fft.rfft(x, norm="ortho").real,
    "rfft of a length": lambda x: torch.fft.rfft(x, 6, 0, norm="ortho").imag,
    "fft2, orthonormal": lambda x: torch.fft.fft2(x, norm="ortho").imag,
    "fftn of sizes": lambda x: torch.fft.fftn(x, (4, -1), norm="ortho").real,
    "ifft, orthonormal": lambda x: torch.fft.ifft(x, dim=0, norm="ortho").imag,
    "irfft, orthonormal": lambda x: torch.fft.irfft(torch.fft.rfft(x), norm="ortho"),
    "irfft2, orthonormal": lambda x: torch.fft.irfft2(torch.fft.rfft2(x), x.shape, norm="ortho"),
    "hfft, orthonormal": lambda x: torch.fft.hfft(torch.fft.rfft(x), x.shape[1], norm="ortho"),
}


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def rows(batch, size):
    return torch.randn(batch, size, generator=torch.Generator().manual_seed(batch + size))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_size_is_followed(name):
    model = Call(FUNCTIONS[name]).eval()
    program = capture(model, (rows(4, 7),), ({0: BATCH, 1: SIZE},))
    for batch, size in ((4, 7), (3, 5), (9, 4), (27, 28)):
        x = rows(batch, size)
        torch.testing.assert_close(program(x), model(x), rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("name", ["cov", "corrcoef"])
def test_values_are_not_looked_at(name):
    model = Call(FUNCTIONS[name]).eval()
    program = capture(model, (rows(4, 7),))
    torch.testing.assert_close(program(rows(4, 7) * 3), model(rows(4, 7) * 3))
