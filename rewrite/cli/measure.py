"""`--measure`: which layers stay float, since that is faster here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewrite.errors import UsageError

if TYPE_CHECKING:
    from rewrite.measure import Choice
    from rewrite.plugin_host import PluginHost
    from rewrite.request import Request
    from rewrite.talk import Talk


def choose_fastest(request: Request, host: PluginHost, talk: Talk) -> Choice:
    """Find the overrides of the fastest file, and show what was tried before they are applied."""
    from rewrite.job import choose_passes
    from rewrite.measure import choose_by_time

    if request.output is not None and request.output.suffix == ".pt2":
        raise UsageError("--measure times ONNX files", hint="-o NAME.onnx")
    found = choose_by_time(request, choose_passes(host, request), host, talk)
    for line in _table(found):
        talk.step(line)
    return found


def _table(found: Choice) -> list[str]:
    """Return one line for each group of layers, the one that gains least by int8 first."""
    tried = sorted(found.attempts, key=lambda attempt: attempt.ratio)
    lines = [
        f"  {attempt.ratio:5.2f} × with {attempt.group.label} in float"
        + (": left float" if attempt.kept else "")
        for attempt in tried
    ]
    if found.named:
        layers = "1 layer is" if found.named == 1 else f"{found.named} layers are"
        lines.append(f"  {layers} as override and skip say, and not timed")
    every = "every other layer float" if found.named else "every layer float"
    if found.all_float:
        verdict = f"{found.reached_ms:.3f} ms with {every}, faster than any int8 here"
    else:
        verdict = f"{found.reached_ms:.3f} ms, {found.start_ms:.3f} ms with all that can be in int8"
        verdict += f", {found.float_ms:.3f} ms with {every}"
    return [*lines, f"measured on {found.runtime}: {verdict}"]
