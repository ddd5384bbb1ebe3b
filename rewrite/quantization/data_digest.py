"""What tells calibration data from others: a digest of all batches so far, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

_MARKS = 64
"""Up to so many batches the very one that differs is named, beyond that a range of them."""


@dataclass
class DataDigest:
    """A digest of the batches so far, in order, and what it was at evenly spread batches."""

    batches: int = 0
    last: str = ""
    """After all of them; it goes into that of the next."""
    step: int = 1
    marks: list[str] = field(default_factory=list)
    """After batch `step`, 2·`step` and so on, at most 64."""

    def add(self, inputs: Iterable[Any]) -> None:
        """Take one batch: its inputs in the order of the signature."""
        digest = hashlib.sha256(self.last.encode())
        for value in inputs:
            digest_value(digest, value)
        self.last = digest.hexdigest()
        self.batches += 1
        if self.batches % self.step == 0:
            self.marks.append(self.last)
        if len(self.marks) > _MARKS:
            self.marks, self.step = self.marks[1::2], 2 * self.step

    def unlike(self, again: DataDigest) -> str:
        """Return which batch of those counted here is another one in `again`, '' while none is.

        Args:
            again: of as many batches or fewer; asked after every one of them.
        """
        number = again.batches
        if number % self.step == 0:
            same, before = again.last == self.marks[number // self.step - 1], number - self.step
        elif number == self.batches:
            same, before = again.last == self.last, len(self.marks) * self.step
        else:
            return ""
        if same:
            return ""
        return (
            f"batch {number}" if number == before + 1 else f"one of batches {before + 1}-{number}"
        )


def digest_value(digest: Any, value: Any) -> None:
    """Put type, shape and all bytes of a tensor into a digest, or the text of anything else."""
    if not isinstance(value, torch.Tensor):
        digest.update(repr(value).encode())
        return
    digest.update(f"{value.dtype}{list(value.shape)}".encode())
    flat = value.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy().data)
