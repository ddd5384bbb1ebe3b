"""Programs as `.pt2` files, for PyTorch itself."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch.utils import _pytree as pytree

from rewrite.artifact import Artifact
from rewrite.checks.judge import Judge
from rewrite.checks.samples import Sample
from rewrite.errors import UsageError
from rewrite.file_parts import size_of
from rewrite.inputs import copied
from rewrite.lowering.agreement import floor_of, require
from rewrite.on_runtime import OnRuntime
from rewrite.opened_dataclasses import opened_in
from rewrite.output_agreement import Comparison
from rewrite.program import Program
from rewrite.re_export import re_export


def write_pt2(
    program: Program, path: Path, samples: Sequence[Sample], *, strict: bool
) -> tuple[Artifact, Callable[..., Any]]:
    """Write a program as a `.pt2` file, load it as torch does, and compare the two.

    Returns:
        The file, and the loaded module.

    Raises:
        CheckError: when `strict` and the loaded file disagrees.
        UsageError: for a model that takes or returns classes of its own.
    """
    _require_plain(program)
    _save_pt2(re_export(program), path)
    module = torch.export.load(path).module()
    names, comparison = program.signature.output_names, Comparison(Judge(program))
    for sample in samples:
        flat = program.signature.flatten_inputs(*sample.inputs)
        results = []
        for run in (program, module):
            args, kwargs = copied(sample.inputs)
            results.append(pytree.tree_leaves(run(*args, **kwargs)))
        named = zip(names, *results, strict=True)
        tensors = {n: (a, b) for n, a, b in named if isinstance(a, torch.Tensor)}
        comparison.add(tensors, flat, sample.label)
    agreement = comparison.agreement()
    if strict:
        require(agreement, floor_of(quantized=False, half=False))
    artifact = Artifact(path, size=size_of(path))
    artifact.runtimes.append(OnRuntime("torch", torch.__version__, agreement))
    return artifact, module


def _require_plain(program: Program) -> None:
    """Refuse classes that torch sees into here: whoever loads the file has not told it to."""
    signature = program.signature
    names = [*opened_in(signature.in_spec), *opened_in(signature.out_spec)]
    if names:
        raise UsageError(
            f"a .pt2 file cannot hold what the model takes or returns: {names[0]} is a class of "
            "its own, which torch does not know where the file is loaded",
            hint="take and return tuples or dicts; an ONNX file holds the tensors by their names",
        )


def _save_pt2(exported: torch.export.ExportedProgram, path: Path) -> None:
    """Write a `.pt2` file.

    Raises:
        UsageError: when the disk does not take it; torch's own writer ends the process then.
    """
    try:
        with path.open("wb") as file:
            disk = _Disk(file)
            torch.export.save(exported, disk)
        if disk.error is not None:
            raise disk.error
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror or error}") from error


class _Disk(io.BytesIO):
    """A file for torch to write to: what it cannot take is remembered, not raised in C++."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self.error = error
        return len(data)
