"""NNCF: its backend of the runtime in question, mixed preset, fast bias correction.

Transformers get the model type that NNCF has for them, which smooths activations as well.
"""

import contextlib
import sys
import time

from common import export_float, feed, input_names

LABEL = "NNCF"
TRANSFORMERS = ("bert_encoder", "vit_tiny", "swin_tiny")


def quantize(module, target, folder):
    """Return the file, IR for OpenVINO and ONNX otherwise, and the seconds of `nncf.quantize`."""
    import nncf

    float_path = folder / "float.onnx"
    export_float(module, float_path)
    names = input_names(float_path)
    started = time.perf_counter()
    batches = list(module.calibration())
    options = {
        "preset": nncf.QuantizationPreset.MIXED,
        "model_type": nncf.ModelType.TRANSFORMER if module.__name__ in TRANSFORMERS else None,
        "fast_bias_correction": True,
        "subset_size": len(batches),
    }
    data = nncf.Dataset([feed(names, batch) for batch in batches])
    with contextlib.redirect_stdout(sys.stderr):
        if target == "openvino":
            import openvino

            path = folder / "nncf.xml"
            quantized = nncf.quantize(openvino.Core().read_model(float_path), data, **options)
            openvino.save_model(quantized, path, compress_to_fp16=False)
        else:
            import onnx

            path = folder / "nncf.onnx"
            onnx.save(nncf.quantize(onnx.load(float_path), data, **options), path)
    return path, time.perf_counter() - started
