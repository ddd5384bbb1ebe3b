"""`rewrite compare-runtimes`: what another version of a runtime changes for files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rewrite.cli import failures
from rewrite.cli.console import working
from rewrite.cli.options import json_option, read_sizes, talk_options
from rewrite.cli.output import db_text, say, show_json
from rewrite.errors import CheckError, UsageError, unknown
from rewrite.kernel_counts import int8_summary
from rewrite.request import LARGEST_SEED

if TYPE_CHECKING:
    from rewrite.runtimes.elsewhere import Elsewhere
    from rewrite.talk import Talk
    from rewrite.two_versions import OnTwoVersions

_SHOWN = 10


@click.command(
    "compare-runtimes", short_help="Show what another version of a runtime changes for files."
)
@click.argument("files", metavar="FILE.onnx...", nargs=-1, required=True)
@click.option(
    "--python",
    "python",
    required=True,
    metavar="PATH",
    help="A Python that has the other version, such as .venv-ort-1.31.1/bin/python.",
)
@click.option(
    "--runtime",
    metavar="NAME",
    default="onnxruntime",
    show_default=True,
    help="The runtime that both have: onnxruntime or openvino.",
)
@click.option(
    "--sizes",
    metavar="NAME=SIZE,...",
    callback=read_sizes,
    help="Sizes of dynamic dimensions, such as batch=1,tokens=128.  "
    "[default: 4 for the first of an input, 32 for others]",
)
@click.option("--threads", type=click.IntRange(0), default=0, help="Threads of the runtimes.")
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=0,
    metavar="INTEGER",
    help="Seed of the inputs.  [default: 0]",
)
@json_option
@talk_options
def compare_runtimes(files: tuple[str, ...], python: str, runtime: str, **given: Any) -> None:
    """Run every FILE.onnx on the runtime that is installed here, and on that of another Python.

    Prints how many layers run in int8 on both and which changed kernel, the signal to noise ratio
    of the outputs on the same random inputs, and the time on the other version over the time here,
    measured in turns: the median, and where eight of ten turns lie. The other Python needs the
    runtime, onnx and onnx-ir. Exits with 1 if a version does not run a file.
    """
    with working(quiet=given["quiet"], verbose=given["verbose"]) as talk:
        here, there = _find(Path(sys.executable), runtime), _find(_interpreter(python), runtime)
        found = _compare(files, here, there, talk, given)
    refused = [each for each in found if not each.runs]
    failure = _failure(refused[0], runtime) if refused else None
    if given["as_json"]:
        error = {"error": failures.error_json(failure)} if failure else {}
        show_json(
            {
                "runtime": runtime,
                "versions": [here.version, there.version],
                "ok": failure is None,
                "files": [_as_json(each) for each in found],
                **error,
            }
        )
    else:
        say(f"{runtime} {here.version} here, {there.version} of {there.python}")
        for each in found:
            _show(each)
    if failure is not None:
        click.get_current_context().exit(failures.tell(failure))


def _interpreter(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        inside = next(
            (p for p in ("bin/python", "Scripts/python.exe") if (path / p).exists()), None
        )
        hint = f"--python {path / inside}" if inside else "give the path of its Python"
        raise UsageError(f"'{text}' is a folder", hint=hint)
    if not path.is_file():
        raise UsageError(
            f"there is no Python '{text}'",
            hint="make one with another version: make test-onnxruntime ORT=X.Y.Z",
        )
    # Not resolved: a virtual environment is told by the link that its Python is.
    return path.absolute()


def _find(python: Path, runtime: str) -> Elsewhere:
    from rewrite.runtimes import NAMES, RuntimeFailure
    from rewrite.runtimes.elsewhere import find

    if runtime not in NAMES:
        raise unknown("runtime", runtime, NAMES)
    try:
        return find(python, runtime)
    except RuntimeFailure as failure:
        raise UsageError(failure.what, hint=failure.hint or None) from failure


def _compare(
    files: Sequence[str], here: Elsewhere, there: Elsewhere, talk: Talk, given: dict[str, Any]
) -> list[OnTwoVersions]:
    from rewrite.busy import busy
    from rewrite.file_inputs import draw_inputs, dynamic_sizes
    from rewrite.onnx_file import open_onnx
    from rewrite.two_versions import compare_versions

    if here.version == there.version:
        talk.warn(f"both are {here.name} {here.version}: what differs is noise")
    if busy():
        talk.warn(busy())
    models = {file: open_onnx(Path(file)) for file in files}
    known = {name for model in models.values() for name in dynamic_sizes(model)}
    for name in given["sizes"]:
        if name not in known:
            raise unknown("dynamic dimension", name, known)
    feeds = {
        file: draw_inputs(model, given["sizes"], given["seed"]) for file, model in models.items()
    }
    found = []
    for number, file in enumerate(models, start=1):
        talk.step(f"run {file}")
        found.append(compare_versions(Path(file), here, there, feeds[file], given["threads"]))
        talk.progress("compare files", number, len(models))
    return found


def _failure(found: OnTwoVersions, runtime: str) -> CheckError:
    side = found.before if found.before.problem else found.after
    return CheckError(
        f"{runtime} {side.version} does not run the file",
        where=str(found.path),
        hint="the reason is in the list above",
    )


def _as_json(found: OnTwoVersions) -> dict[str, Any]:
    from rewrite.two_versions import ratios

    value: dict[str, Any] = {
        "file": str(found.path),
        "before": found.before.as_json(),
        "after": found.after.as_json(),
        "changed": [
            {"node": a.node, "before": a.kernel, "after": b.kernel, "in_int8": [a.fired, b.fired]}
            for a, b in (found.changed() if found.runs else ())
        ],
        "outputs": found.outputs.as_json() if found.outputs else None,
        "time": None,
    }
    if found.duel is not None:
        ratio, low, high = ratios(found.duel)
        value["time"] = {
            "ratio": ratio,
            "spread": [low, high],
            "before_ms": list(found.duel.champion),
            "after_ms": list(found.duel.challenger),
        }
    return value


def _show(found: OnTwoVersions) -> None:
    say(f"\n{found.path}")
    for name, text in _rows(found):
        say(f"  {name:<8} {text}")


def _rows(found: OnTwoVersions) -> Iterator[tuple[str, str]]:
    for side in (found.before, found.after):
        if side.problem:
            yield "fails", f"{side.version}: {side.problem}".replace("\n", "; ")
    if not found.runs:
        return
    yield from _kernel_rows(found)
    yield "outputs", _outputs_text(found)
    yield "time", _time_text(found)


def _kernel_rows(found: OnTwoVersions) -> Iterator[tuple[str, str]]:
    before, after = (int8_summary(side.kernels) for side in (found.before, found.after))
    layers, changed = before["layers"], found.changed()
    counts = f"{before['in_int8']} of {layers}"
    if after["in_int8"] != before["in_int8"]:
        counts += f", then {after['in_int8']}"
    more = f"; {len(changed)} changed kernel" if changed else ", all by the same kernels"
    yield "kernels", f"{counts} layers run in int8{more}"
    for a, b in changed[:_SHOWN]:
        reason = f" ({b.reason})" if a.fired and not b.fired else ""
        yield "", f"{a.node}: {a.kernel or 'none'} → {b.kernel or 'none'}{reason}"
    if len(changed) > _SHOWN:
        yield "", f"… and {len(changed) - _SHOWN} more: --json"
    counted = found.recounted()
    if counted:
        told = ", ".join(f"{name} {a} → {b}" for name, (a, b) in counted.items())
        yield "", f"in the whole graph: {told}"


def _outputs_text(found: OnTwoVersions) -> str:
    assert found.outputs is not None
    outputs = found.outputs
    text = db_text(outputs.sqnr_db) if outputs.sqnr_db > -float("inf") else "nothing in common"
    if text != "exact" and outputs.output:
        text += f", worst in '{outputs.output}'"
    if outputs.integers is not None and outputs.integers.equal < 1:
        text += f", {outputs.integers.equal:.2%} of the integers equal"
    return text


def _time_text(found: OnTwoVersions) -> str:
    from rewrite.two_versions import ratios

    assert found.duel is not None
    ratio, low, high = ratios(found.duel)
    before, after = (sorted(t)[len(t) // 2] for t in (found.duel.champion, found.duel.challenger))
    spread = f"({low:.2f} to {high:.2f} in {len(found.duel.champion)} turns)"
    return f"{ratio:.2f} of the time here {spread}, {before:.3f} ms → {after:.3f} ms"
