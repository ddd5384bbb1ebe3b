"""Passes that need others, or a newer opset, to be in a file are told before any work."""

from __future__ import annotations

import pytest
from rewrite_plugins.calibrate import Calibrate
from rewrite_plugins.insert_quantizers import InsertQuantizers
from rewrite_plugins.quantize_weights import QuantizeWeights

from rewrite import UsageError
from rewrite.file_needs import require_whole, with_opset_for
from rewrite.plugin_host import PluginHost

HOST = PluginHost()


def test_marks_without_calibration_are_an_error():
    with pytest.raises(UsageError, match="'insert-quantizers' alone changes nothing") as caught:
        require_whole([InsertQuantizers()])
    assert caught.value.hint == "--passes insert-quantizers,calibrate"
    require_whole([InsertQuantizers(), Calibrate()])


def test_the_opset_is_as_new_as_passes_need():
    target = HOST.find_target("openvino")
    raised = with_opset_for([QuantizeWeights()], target, None)
    assert (raised.opset, raised.opset_range) == (21, (21, 21))
    assert with_opset_for([Calibrate()], target, None) is target


@pytest.mark.parametrize(("name", "asked"), [("portable", None), ("openvino", 20)])
def test_an_opset_that_is_too_old_is_told(name, asked):
    with pytest.raises(UsageError, match="'quantize-weights' needs opset 21"):
        with_opset_for([QuantizeWeights()], HOST.find_target(name), asked)
