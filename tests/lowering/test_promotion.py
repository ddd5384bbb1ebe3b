import torch

from .models import translated_ops

IDS = torch.arange(6).reshape(2, 3)


def test_an_integer_is_taken_from_a_float(tmp_path):
    assert "Sub" in translated_ops(IDS, lambda x: 1.5 - x, tmp_path)


def test_an_integer_is_taken_from_an_integer(tmp_path):
    assert "Sub" in translated_ops(IDS, lambda x: 3 - x, tmp_path)
