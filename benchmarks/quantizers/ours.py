"""This compiler: the passes of `--preset int8`, ranges by `calibrate{method=mse}`."""

from common import MODELS, THREADS

LABEL = "rewrite"
STAGES = ("insert-quantizers", "correct-bias", "calibrate")


def quantize(module, target, folder):
    """Return the file and the seconds of marking, observing and freezing."""
    from rewrite.plugin_host import PluginHost

    host, path = PluginHost(), folder / "ours.onnx"
    return path, compiled(request_for(module, target, path, host), host)


def request_for(module, target, path, host):
    """Return what the command line would ask for."""
    from rewrite.job import choose_passes
    from rewrite.pass_spec import PassSpec
    from rewrite.request import Request

    model = str(MODELS / f"{module.__name__}.py")
    chosen = choose_passes(host, Request(model, preset="int8", target=target))
    passes = [
        PassSpec(each.name, {"method": "mse"} if each.name == "calibrate" else {})
        for each in chosen
    ]
    return Request(model, tuple(passes), target=target, output=path, threads=THREADS)


def compiled(request, host):
    """Write the file, and return the seconds of marking, observing and freezing."""
    from rewrite.compile import compile_model

    result = compile_model(request, host)
    return sum(r.seconds for r in result.reports if r.pass_.name in STAGES)
