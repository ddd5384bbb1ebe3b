"""What ONNX Runtime gets wrong, and the forms that files are written in instead."""

from __future__ import annotations

import pytest

from .onnxruntime_probes import output_behind_a_transpose as is_rounded


@pytest.mark.parametrize(
    ("barrier", "moved", "rounded"),
    [(False, True, True), (True, True, False), (False, False, False)],
)
def test_output_behind_a_transpose(barrier, moved, rounded, tmp_path):
    """A quantizer that is moved in front of a Transpose rounds what leaves the model, too."""
    assert is_rounded(tmp_path, barrier, moved) is rounded
