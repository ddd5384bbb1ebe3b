"""This compiler: `rewrite MODEL --preset int8`, everything else at its default."""

from common import MODELS, THREADS

LABEL = "rewrite"
STAGES = ("insert-quantizers", "correct-bias", "calibrate")


def quantize(module, target, folder):
    """Return the file and the seconds of marking, observing and freezing."""
    from rewrite.compile import Request, compile_model
    from rewrite.plugin_host import PluginHost

    path = folder / "ours.onnx"
    name = module.__name__
    request = Request(
        str(MODELS / f"{name}.py"), preset="int8", target=target, output=path, threads=THREADS
    )
    result = compile_model(request, PluginHost())
    return path, sum(r.seconds for r in result.reports if r.pass_.name in STAGES)
