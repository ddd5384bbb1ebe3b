"""onnxruntime.quantization: pre-processed, QDQ, uint8 × int8 per channel, min-max."""

import sys
import time

from common import export_float, feed, input_names

LABEL = "quantize_static"


def quantize(module, target, folder):
    """Return the file and the seconds of pre-processing, observing and quantizing."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    float_path = str(folder / "float.onnx")
    export_float(module, float_path)
    names = input_names(float_path)
    started = time.perf_counter()
    prepared, path = str(folder / "prepared.onnx"), folder / "static.onnx"
    try:
        quant_pre_process(float_path, prepared)
    except Exception as error:  # symbolic shapes of an encoder's mask are beyond it
        print(f"quant_pre_process: {error}; again without symbolic shapes", file=sys.stderr)
        quant_pre_process(float_path, prepared, skip_symbolic_shape=True)

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.batches = iter(module.calibration())

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else feed(names, batch)

    quantize_static(
        prepared,
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path, time.perf_counter() - started
