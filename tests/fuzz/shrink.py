"""From a model that shows a fault to a small one that shows the same fault."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .differential import attempt
from .model_files import call, load_text
from .printing import print_model
from .spec import Outputs, Spec, leaves

Shows = Callable[[Spec], bool]
_MOST_TRIES = 60


def shrink(spec: Spec, target: str, preset: str, kind: str) -> Spec:
    """Return a smaller model whose compilation ends in the same kind of outcome."""

    def shows(candidate: Spec) -> bool:
        return _kind(candidate, target, preset) == kind

    return smallest(spec, shows)


def smallest(spec: Spec, shows: Shows) -> Spec:
    """Take away what can go while the fault is still shown; greedy, until nothing can."""
    tries = 0
    smaller = True
    while smaller and tries < _MOST_TRIES:
        smaller = False
        for candidate in _smaller(spec):
            if not runs(candidate):
                continue
            tries += 1
            if shows(candidate):
                spec, smaller = candidate, True
                break
            if tries >= _MOST_TRIES:
                break
    return spec


def _kind(spec: Spec, target: str, preset: str) -> str:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        path = Path(folder) / f"seed_{spec.seed}.py"
        path.write_text(print_model(spec), encoding="utf-8")
        return attempt(path, target, preset, seed=spec.seed).kind


def runs(spec: Spec) -> bool:
    """Tell whether the eager model takes all its inputs."""
    try:
        names = load_text(print_model(spec))
        model = names["model"]()
        for inputs in [names["inputs"](), *(given for _, given in names["others"]())]:
            call(model, inputs)
    except Exception:
        return False
    return True


def _smaller(spec: Spec) -> Iterator[Spec]:
    """Yield smaller models, the boldest first."""
    yield from _prefixes(spec)
    yield from _fewer_outputs(spec)
    yield from _fewer_steps(spec)
    yield from _fewer_inputs(spec)
    yield from _fewer_dims(spec)


def _prefixes(spec: Spec) -> Iterator[Spec]:
    """Yield models that end early, and give what their last step makes."""
    for count in range(1, len(spec.steps)):
        shorter = copy.deepcopy(spec)
        shorter.steps = shorter.steps[:count]
        shorter.outputs = list(shorter.steps[-1].makes)
        yield _without_unread(shorter)


def _fewer_outputs(spec: Spec) -> Iterator[Spec]:
    names = leaves(spec.outputs)
    if len(names) < 2 and not isinstance(spec.outputs, str):
        yield _with_outputs(spec, names[0])
    for name in names if len(names) > 1 else ():
        yield _with_outputs(spec, name)
        yield _with_outputs(spec, [n for n in names if n != name])


def _with_outputs(spec: Spec, outputs: Outputs) -> Spec:
    other = copy.deepcopy(spec)
    other.outputs = outputs
    return _without_unread(other)


def _fewer_steps(spec: Spec) -> Iterator[Spec]:
    """Yield models without one step: what read its results reads what it had read."""
    for place in reversed(range(len(spec.steps))):
        step = spec.steps[place]
        for instead in dict.fromkeys(step.reads):
            other = copy.deepcopy(spec)
            del other.steps[place]
            for name in step.makes:
                other.steps = [s.renamed(name, instead) for s in other.steps]
                other.outputs = _replaced(other.outputs, name, instead)
            yield other


def _replaced(outputs: Outputs, old: str, new: str) -> Outputs:
    if isinstance(outputs, str):
        return new if outputs == old else outputs
    if isinstance(outputs, dict):
        return {key: _replaced(value, old, new) for key, value in outputs.items()}
    return [_replaced(value, old, new) for value in outputs]


def _without_unread(spec: Spec) -> Spec:
    """Drop steps whose results nobody reads."""
    read = set(leaves(spec.outputs))
    kept = []
    for step in reversed(spec.steps):
        if read & set(step.makes) or step.group == "writes":
            kept.append(step)
            read |= set(step.reads)
    spec.steps = kept[::-1]
    return spec


def _fewer_inputs(spec: Spec) -> Iterator[Spec]:
    read = {name for step in spec.steps for name in step.reads} | set(leaves(spec.outputs))
    for each in spec.inputs:
        if each.name not in read and len(spec.inputs) > 1:
            other = copy.deepcopy(spec)
            other.inputs = [i for i in other.inputs if i.name != each.name]
            used = {size for i in other.inputs for size in i.shape}
            other.dims = [dim for dim in other.dims if dim.name in used]
            yield other


def _fewer_dims(spec: Spec) -> Iterator[Spec]:
    """Yield models of which one size is fixed."""
    for dim in spec.dims:
        other = copy.deepcopy(spec)
        other.dims = [d for d in other.dims if d.name != dim.name]
        for each in other.inputs:
            each.shape = [dim.sizes[0] if size == dim.name else size for size in each.shape]
        yield other
