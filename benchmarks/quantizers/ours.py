"""This compiler: the passes of `--preset int8`, ranges by `calibrate{method=mse}`."""

from common import MODELS, THREADS

LABEL = "rewrite"
STAGES = ("insert-quantizers", "correct-bias", "calibrate")


def quantize(module, target, folder):
    """Return the file and the seconds of marking, observing and freezing."""
    from rewrite.compile import Request, compile_model
    from rewrite.pass_spec import PassSpec
    from rewrite.plugin_host import PluginHost

    host, path = PluginHost(), folder / "ours.onnx"
    passes = [
        PassSpec(name, {"method": "mse"} if name == "calibrate" else {})
        for name in host.find_preset("int8").passes
    ]
    model = str(MODELS / f"{module.__name__}.py")
    request = Request(model, tuple(passes), target=target, output=path, threads=THREADS)
    result = compile_model(request, host)
    return path, sum(r.seconds for r in result.reports if r.pass_.name in STAGES)
