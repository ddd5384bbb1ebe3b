"""torchao: PT2E with the x86 quantizer of Inductor, exported by torch.onnx."""

import contextlib
import copy
import sys
import time

from common import called

LABEL = "torchao PT2E"


def quantize(module, target, folder):
    """Return the file and the seconds of preparing, observing and converting."""
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    args, kwargs = called(module.inputs())
    program = torch.export.export(
        module.model(), args, kwargs, dynamic_shapes=copy.copy(module.dynamic_shapes)
    )
    started = time.perf_counter()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    with torch.no_grad():
        prepared = prepare_pt2e(program.module(), quantizer)
        for batch in module.calibration():
            args_of, kwargs_of = called(batch)
            prepared(*args_of, **kwargs_of)
        converted = convert_pt2e(prepared)
        seconds = time.perf_counter() - started
        again = torch.export.export(
            converted, args, kwargs, dynamic_shapes=copy.copy(module.dynamic_shapes)
        )
        with contextlib.redirect_stdout(sys.stderr):
            onnx_program = torch.onnx.export(again, args, kwargs=kwargs, dynamo=True, verbose=False)
    path = folder / "torchao.onnx"
    onnx_program.save(str(path))
    return path, seconds
