"""Samples from .npz files and folders of .npy files, one at a time."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from rewrite.errors import UsageError, unknown


@dataclass(frozen=True)
class Sample:
    """One sample: an array for each input, without a batch dimension."""

    where: str
    arrays: dict[str, np.ndarray]


def npz_samples(path: Path, names: Sequence[str]) -> Iterator[Sample]:
    """Yield the rows of the arrays of an .npz file, reading no more than a row of each.

    Args:
        path: holds one array for each input; the first axis counts the samples.
        names: of the inputs.

    Raises:
        UsageError: when an array is missing or no input's, or lengths differ.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise UsageError(f"'{path}' is not an .npz file", hint=_written(names)) from None
    with archive, ExitStack() as stack:
        held = [name.removesuffix(".npy") for name in archive.namelist()]
        for name in held:
            if name not in names:
                raise unknown("input", name, names, where=f"array '{name}' of {path}")
        for name in names:
            if name not in held:
                raise UsageError(f"'{path}' has no array '{name}'", hint=_written(names))
        rows = {}
        for name in names:
            member = stack.enter_context(archive.open(f"{name}.npy"))
            rows[name] = _rows(path, name, member)
        counts = {name: next(iterator).shape[0] for name, iterator in rows.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"'{name}' {count}" for name, count in counts.items())
            raise UsageError(f"the arrays of '{path}' have different lengths: {told}")
        for number in range(min(counts.values(), default=0)):
            arrays = {name: next(iterator) for name, iterator in rows.items()}
            yield Sample(f"{path}, row {number}", arrays)


def folder_samples(path: Path, names: Sequence[str]) -> Iterator[Sample]:
    """Yield the .npy files of a folder, or of its subfolders named after the inputs, in order.

    Args:
        path: a folder with one file for each sample; with one subfolder for each input, in which
            files of the same name belong together, when there are several.
        names: of the inputs.

    Raises:
        UsageError: when there are no files, or a file is missing or damaged.
    """
    folders = {name: path / name for name in names}
    if len(names) == 1 and not folders[names[0]].is_dir():
        folders = {names[0]: path}
    for name, folder in folders.items():
        if not folder.is_dir():
            raise UsageError(
                f"'{path}' has no folder '{name}'",
                hint=f"one folder of .npy files for each input: {', '.join(names)}",
            )
    stems = {name: sorted(f.name for f in d.glob("*.npy")) for name, d in folders.items()}
    first = stems[names[0]]
    for name, found in stems.items():
        odd = sorted(set(found) ^ set(first))
        if odd:
            has = name if odd[0] in found else names[0]
            raise UsageError(
                f"'{odd[0]}' is in '{folders[has]}' only", hint="a file for each input"
            )
    if not first:
        raise UsageError(
            f"'{path}' holds neither .npy files nor images", hint="one file for each sample"
        )
    for stem in first:
        arrays = {name: _load(folder / stem) for name, folder in folders.items()}
        yield Sample(str(folders[names[0]] / stem), arrays)


def _load(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise UsageError(
            f"'{path}' is not an array: {error}", hint="np.save(file, array)"
        ) from None


def _rows(path: Path, name: str, member: IO[bytes]) -> Iterator[np.ndarray]:
    """Yield an empty array of the whole's shape, then each row."""
    try:
        version = np.lib.format.read_magic(member)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, is_fortran, dtype = read(member)
    except (ValueError, KeyError):
        raise UsageError(f"array '{name}' of '{path}' cannot be read") from None
    if dtype.hasobject or not shape:
        what = "holds Python objects" if dtype.hasobject else "is a single number"
        raise UsageError(f"array '{name}' of '{path}' {what}, not samples")
    yield np.empty((shape[0], 0))
    if is_fortran:
        yield from np.load(path, allow_pickle=False)[name]
        return
    length = math.prod(shape[1:]) * dtype.itemsize
    for _ in range(shape[0]):
        yield np.frombuffer(member.read(length), dtype).reshape(shape[1:]).copy()


def _written(names: Sequence[str]) -> str:
    return f"np.savez(file, {', '.join(f'{name}=...' for name in names)})"
