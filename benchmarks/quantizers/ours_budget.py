"""This compiler with `--budget`: the layers that cost most stay float until SQNR is reached."""

import time

from quantizers.ours import compiled, request_for

BUDGETS = {"vit_tiny": 30.0}
"""In dB, for the models whose plain int8 file is not the most accurate."""
ONLY = tuple(BUDGETS)
LABEL = "rewrite, budget"


def quantize(module, target, folder):
    """Return the file and the seconds of measuring every layer, marking, observing and freezing."""
    from rewrite.budget import Budget
    from rewrite.budget_search import meet_budget
    from rewrite.job import choose_passes
    from rewrite.plugin_host import PluginHost
    from rewrite.talk import Talk

    host, path = PluginHost(), folder / "ours.onnx"
    request = request_for(module, target, path, host)
    started = time.perf_counter()
    passes = choose_passes(host, request)
    found = meet_budget(request, passes, host, Talk(), Budget(db=BUDGETS[module.__name__]))
    return path, time.perf_counter() - started + compiled(found.request, host)
