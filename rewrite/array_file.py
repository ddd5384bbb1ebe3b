"""Arrays as numpy stores them: what the header says is held to what is there before it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from rewrite.errors import UsageError, first_line

_READ = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_HINT = "np.save(file, array.astype(np.float32))"
_LARGEST_ITEM = 8
"""Bytes of a number that torch knows."""


@dataclass(frozen=True)
class Stored:
    """An array in an open file, its header read."""

    name: str
    """What it is to people, as the start of a sentence."""
    file: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool

    @classmethod
    def open(cls, file: IO[bytes], size: int, name: str) -> Stored:
        """Read the header of an array.

        Args:
            file: at its beginning.
            size: how many bytes it has.
            name: of the array.

        Raises:
            UsageError: for one that is damaged, or that holds anything but numbers.
        """
        try:
            version = np.lib.format.read_magic(file)
            if version not in _READ:
                raise ValueError(f"it is of version {version[0]}.{version[1]}")
            shape, is_fortran, dtype = _READ[version](file)
        except Exception as error:  # of archives, of tokens, of literals, of types
            raise UsageError(
                f"{name} is not an array: {first_line(error)}", hint="np.save(file, array)"
            ) from None
        if dtype.hasobject:
            raise UsageError(f"{name} holds Python objects, not numbers", hint=_HINT)
        if dtype.kind in "fiub" and dtype.itemsize > _LARGEST_ITEM:
            raise UsageError(f"{name} holds {dtype}, which torch lacks", hint=_HINT)
        bytes_said = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or bytes_said != size - file.tell():
            raise UsageError(
                f"{name} is damaged: shape {list(shape)} takes {bytes_said} bytes, and "
                f"{size - file.tell()} are there",
                hint="save it again",
            )
        return cls(name, file, shape, dtype, is_fortran)

    def whole(self) -> np.ndarray:
        """Return the array."""
        return self._read(self.shape)

    def rows(self) -> Iterator[np.ndarray]:
        """Yield what lies along the first axis, reading no more than one at a time."""
        if self.is_fortran:
            yield from self.whole()
            return
        for _ in range(self.shape[0]):
            yield self._read(self.shape[1:])

    def _read(self, shape: tuple[int, ...]) -> np.ndarray:
        wanted = math.prod(shape) * self.dtype.itemsize
        try:
            held = self.file.read(wanted)
            flat = np.frombuffer(held, self.dtype).astype(self.dtype.newbyteorder("="))
            return flat.reshape(shape, order="F" if self.is_fortran else "C")
        except Exception as error:  # every way of packing has its own
            raise UsageError(
                f"{self.name} is damaged: {first_line(error)}", hint="save it again"
            ) from None
