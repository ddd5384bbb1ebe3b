"""Samples from .npz files and folders of .npy files, one at a time."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rewrite.array_file import Stored
from rewrite.errors import UsageError, first_line, unknown
from rewrite.named_files import require_plain


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
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise UsageError(f"'{path}' is not an .npz file", hint=_written(names)) from None
    with archive, ExitStack() as stack:
        held = [name.removesuffix(".npy") for name in archive.namelist()]
        for name in held:
            if name not in names:
                raise unknown("input", name, names, where=f"array '{name}' of {path}")
        for name in names:
            if name not in held:
                raise UsageError(f"'{path}' has no array '{name}'", hint=_written(names))
        stored = {name: _stored(path, name, archive, stack) for name in names}
        counts = {name: each.shape[0] for name, each in stored.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"'{name}' {count}" for name, count in counts.items())
            raise UsageError(f"the arrays of '{path}' have different lengths: {told}")
        rows = {name: each.rows() for name, each in stored.items()}
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
    require_plain(path)
    try:
        with path.open("rb") as file:
            return Stored.open(file, path.stat().st_size, f"'{path}'").whole()
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from None


def _stored(path: Path, name: str, archive: zipfile.ZipFile, stack: ExitStack) -> Stored:
    info, told = archive.getinfo(f"{name}.npy"), f"array '{name}' of '{path}'"
    try:
        member = stack.enter_context(archive.open(info))
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        # Packed in a way that Python lacks, or by a password.
        what = f"{told} cannot be read: {first_line(error)}"
        raise UsageError(what, hint="np.savez(file, ...)") from None
    stored = Stored.open(member, info.file_size, told)
    if not stored.shape:
        raise UsageError(f"{told} is a single number, not samples")
    return stored


def _written(names: Sequence[str]) -> str:
    return f"np.savez(file, {', '.join(f'{name}=...' for name in names)})"
