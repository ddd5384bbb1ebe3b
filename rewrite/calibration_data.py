"""Calibration data from outside the model file: arrays, folders, images, a model of the zoo."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from rewrite.calibration_arrays import Sample, folder_samples, npz_samples
from rewrite.calibration_images import IMAGES, image_samples
from rewrite.descriptors import Model
from rewrite.errors import UsageError
from rewrite.named_files import require_plain
from rewrite.program import Program
from rewrite.quantization.batches import as_given, fits, wanted_shape
from rewrite.request import CalibrationData, Request

_HINT = "every sample must look like one row of what inputs() returns"


@dataclass(frozen=True)
class _Input:
    """What one input wants of a sample."""

    name: str
    dtype: torch.dtype
    wanted: list[str | int]
    """Sizes without the batch; a dynamic one by its name."""


def choose_calibration(
    request: Request, description: Model, program: Program, find: Callable[[str], Model]
) -> tuple[Model, str]:
    """Return the model with the calibration data a request asks for, and what identifies them.

    Args:
        request: names the data, or leaves them to the model.
        description: of the model.
        program: captured from it; its inputs say what a sample looks like.
        find: returns the description of `zoo:NAME`.

    Raises:
        UsageError: for data that do not suit the inputs; names file, array and expected shape.
    """
    given = request.calibration
    if given is None:
        return description, _digest([request.model, *_contents(description.source)])
    if given.path.startswith("zoo:"):
        source = find(given.path)
        if source.calibration is None:
            raise UsageError(f"'{given.path}' has no calibration data", hint="see: rewrite zoo")
        return replace(description, calibration=source.calibration), given.path
    path = Path(given.path)
    inputs, size, least = _inputs(program)
    names = [each.name for each in inputs]

    def samples() -> Iterator[Sample]:
        if path.is_file():
            return npz_samples(path, names)
        if _has_images(path):
            return image_samples(path, program, given, request.seed)
        return folder_samples(path, names)

    def batches() -> Iterator[Any]:
        return _batched(samples(), program, inputs, size, least, path)

    next(batches())  # a file that does not suit is told before the passes run
    identity = _digest([*_listing(path), str(given), str(size), str(request.seed)])
    return replace(description, calibration=batches), identity


def check_data(given: CalibrationData) -> None:
    """Make sure that calibration data are where a request says, and are images if it says how.

    Raises:
        UsageError: when nothing is there, or a file of another kind, or no images where sizes or
            numbers for images are given.
    """
    path, is_model = Path(given.path), given.path.startswith("zoo:")
    hint = "give a .npz file, a folder of .npy files or of images, or zoo:NAME"
    if not is_model:
        require_plain(path)
    if not is_model and path.is_file() and path.suffix != ".npz":
        raise UsageError(f"'{path}' is no .npz file", hint=hint)
    if not is_model and not path.exists():
        raise UsageError(f"there are no calibration data '{path}'", hint=hint)
    options = given.image_options
    if options and (is_model or not _has_images(path)):
        raise UsageError(
            f"{' and '.join(options)} {'is' if len(options) == 1 else 'are'} for images, and "
            f"'{given.path}' holds none",
            hint=f"leave out {' and '.join(options)}: the data are taken as they are",
        )


def _inputs(program: Program) -> tuple[list[_Input], int, int]:
    """Return what each input wants, the samples in a batch, and how many there are at least."""
    signature = program.signature
    example = signature.flatten_inputs(*program.example)
    found, sizes = [], set()
    for name, value in zip(signature.input_names, example, strict=True):
        if not isinstance(value, torch.Tensor) or value.dim() == 0:
            raise UsageError(
                f"--calibration needs tensors with a batch dimension, and '{name}' is none",
                hint="write calibration() in the model file",
            )
        found.append(_Input(name, value.dtype, wanted_shape(program, name, value)[1:]))
        sizes.add(value.shape[0])
    if len(sizes) != 1:
        raise UsageError(
            "--calibration needs inputs of one batch size; the example's have "
            f"{', '.join(map(str, sorted(sizes)))}",
            hint="write calibration() in the model file",
        )
    (size,) = sizes
    dims = [signature.dynamic.get(each.name, {}).get(0) for each in found]
    least = max((size if dim is None else dim.low for dim in dims), default=1)
    return found, size, max(least, 1)


def _batched(
    samples: Iterable[Sample],
    program: Program,
    inputs: list[_Input],
    size: int,
    least: int,
    path: Path,
) -> Iterator[Any]:
    """Yield batches as the model takes them; a rest too small for the model is left out."""
    rows: list[list[torch.Tensor]] = []
    count = done = 0
    for sample in samples:
        row = [_tensor(sample, each) for each in inputs]
        if rows and [v.shape for v in row] != [v.shape for v in rows[0]]:
            raise UsageError(
                f"{sample.where} has another shape than those before it in its batch",
                hint="pad the samples to one length, and hide the rest with a mask",
            )
        rows.append(row)
        count += 1
        if len(rows) == size:
            yield _assembled(program, rows)
            done, rows = done + 1, []
    if len(rows) >= least:
        yield _assembled(program, rows)
    elif not done:
        raise UsageError(
            f"'{path}' holds {count} sample{'s'[: count != 1]}, a batch takes {least}",
            hint=_how_to_fill(count, least),
        )


def _how_to_fill(count: int, least: int) -> str:
    if count == 0:
        return "its arrays are empty: give some samples"
    return f"give {least} or more, or make the batch dimension dynamic"


def _tensor(sample: Sample, wanted: _Input) -> torch.Tensor:
    array = sample.arrays[wanted.name]
    if not fits(array.shape, wanted.wanted):
        raise UsageError(
            f"{sample.where}: '{wanted.name}' has shape {list(array.shape)}, "
            f"expected {wanted.wanted}",
            hint=_HINT,
        )
    floating = wanted.dtype.is_floating_point
    if (floating and array.dtype.kind != "f") or (not floating and array.dtype.kind not in "iub"):
        raise UsageError(
            f"{sample.where}: '{wanted.name}' is {array.dtype}, expected {wanted.dtype}", hint=_HINT
        )
    return torch.from_numpy(np.asarray(array, order="C")).to(wanted.dtype)


def _assembled(program: Program, rows: list[list[torch.Tensor]]) -> Any:
    leaves = [torch.stack(column) for column in zip(*rows, strict=True)]
    return as_given(*pytree.tree_unflatten(leaves, program.signature.in_spec))


def _has_images(path: Path) -> bool:
    return any(file.suffix.lower() in IMAGES for file in path.rglob("*"))


def _contents(source: str) -> list[str]:
    path = Path(source) if source.endswith(".py") else None
    return [path.read_text(encoding="utf-8")] if path is not None and path.is_file() else [source]


def _listing(path: Path) -> Iterator[str]:
    """Yield name, size and time of every file, which change when the data do."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        status = file.stat()
        yield f"{file.relative_to(path.parent)} {status.st_size} {status.st_mtime_ns}"


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
