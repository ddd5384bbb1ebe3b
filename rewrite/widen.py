"""Half-precision checkpoints in float32: what float16 and bfloat16 hold, it holds exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from rewrite.attributes import Attributes
from rewrite.descriptors import Model
from rewrite.inputs import run_eager, split_inputs
from rewrite.talk import Talk

_HALVES = (torch.float16, torch.bfloat16)


def widen(description: Model, model: nn.Module, talk: Talk) -> Model:
    """Widen half-precision weights to float32, so that passes, quantizers and runtimes take them.

    A model that asks for half precision itself, so that it fails in float32, stays as it is.

    Args:
        description: of the model.
        model: its weights are changed in place.
        talk: told what was widened.

    Returns:
        The description with inputs, calibration data and evaluation in float32.
    """
    halves = {n: t.dtype for n, t in _weights(model) if t.dtype in _HALVES}
    if not halves:
        return description
    wide = _wide(description)
    _cast(model, dict.fromkeys(halves, torch.float32))
    untouched = Attributes(model)
    try:
        run_eager(model, *split_inputs(wide.inputs()))
    except Exception:  # whatever is wrong with it, its capture says so
        untouched.put_back()
        _cast(model, halves)
        return description
    untouched.put_back()
    kinds = " and ".join(sorted({str(d).removeprefix("torch.") for d in halves.values()}))
    talk.step(f"widen weights of {kinds} to float32 (for float16 in the file: halve-floats)")
    return wide


def _weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _cast(model: nn.Module, dtypes: dict[str, torch.dtype]) -> None:
    """Give weights other types; ties and whoever holds them keep them."""
    for name, tensor in _weights(model):
        if name in dtypes:
            tensor.data = tensor.data.to(dtypes[name])


def _wide(given: Model) -> Model:
    calibration, evaluate = given.calibration, given.evaluate

    def evaluated(run: Callable[..., Any]) -> dict[str, float]:
        assert evaluate is not None

        def on_wide(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = _widened((args, kwargs))
            return run(*args, **kwargs)

        return evaluate(on_wide)

    return replace(
        given,
        inputs=lambda: _widened(given.inputs()),
        calibration=calibration and (lambda: map(_widened, calibration())),
        evaluate=evaluate and evaluated,
    )


def _widened(inputs: Any) -> Any:
    return pytree.tree_map_only(
        torch.Tensor, lambda t: t.float() if t.dtype in _HALVES else t, inputs
    )
