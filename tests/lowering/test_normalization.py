import pytest
import torch
import torch.nn.functional as F

from .models import translated_ops

draw = torch.Generator().manual_seed(0)
TOKENS = torch.randn(2, 5, 8, generator=draw)
IMAGE = torch.randn(2, 3, 4, 5, generator=draw)
GAIN = torch.randn(8, generator=draw)
SCALE, SHIFT, MEAN = (torch.randn(3, generator=draw) for _ in range(3))
SPREAD = torch.rand(3, generator=draw) + 0.5
RMS = {
    "gain": (TOKENS, lambda x: F.rms_norm(x, (8,), GAIN, 1e-6)),
    "no gain": (TOKENS, lambda x: F.rms_norm(x, (8,))),
    "two dimensions": (TOKENS, lambda x: F.rms_norm(x, (5, 8), eps=1e-5)),
    "half": (TOKENS.half(), lambda x: F.rms_norm(x, (8,), GAIN.half(), 1e-6)),
}
BATCH = {
    "affine": (IMAGE, lambda x: F.batch_norm(x, MEAN, SPREAD, SCALE, SHIFT, eps=1e-3)),
    "plain": (IMAGE, lambda x: F.batch_norm(x, MEAN, SPREAD)),
    "rows": (IMAGE[:, :, 0, 0], lambda x: F.batch_norm(x, MEAN, SPREAD, SCALE, SHIFT)),
    "of the batch": (IMAGE, lambda x: F.batch_norm(x, None, None, SCALE, SHIFT, True)),
}


@pytest.mark.parametrize("case", RMS)
def test_rms_norm_is_written_as_runtimes_fuse_it(case, tmp_path):
    ops = translated_ops(*RMS[case], tmp_path)
    assert {"Pow", "ReduceMean", "Sqrt", "Div"} <= ops


def test_rms_norm_of_doubles_keeps_its_eps(tmp_path):
    function = lambda x: F.rms_norm(x, (8,), GAIN.double())  # noqa: E731
    assert "Reciprocal" in translated_ops(TOKENS.double(), function, tmp_path)


@pytest.mark.parametrize("case", BATCH)
def test_batch_norm_is_one_operator(case, tmp_path):
    assert "BatchNormalization" in translated_ops(*BATCH[case], tmp_path)
