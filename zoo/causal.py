"""The task of naming the next character of the docstrings, as a language model is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from . import docstrings
from .docstrings import LENGTH
from .family import Inputs, Run

CALIBRATION_SEED = 2


@lru_cache(maxsize=2)
def stream(held_out: bool) -> torch.Tensor:
    """Return the docstrings of a split as one int64 vector, each led by START."""
    return torch.from_numpy(np.concatenate(docstrings.documents(held_out)))


def windows(held_out: bool) -> torch.Tensor:
    """Return the stream as rows of LENGTH tokens and the one that follows, (N, LENGTH + 1)."""
    return stream(held_out).unfold(0, LENGTH + 1, LENGTH)


def inputs() -> Inputs:
    """Return four stretches of the training text, (4, LENGTH)."""
    return (next(calibration())[0][:4],)


def calibration() -> Iterator[Inputs]:
    """Yield 8 batches of 8 stretches of the training text."""
    batches = training_batches(8, CALIBRATION_SEED)
    for _ in range(8):
        yield next(batches)[0]


def evaluate(run: Run) -> dict[str, float]:
    """Return the perplexity per token on the held-out text."""
    loss = total = 0.0
    with torch.no_grad():
        for rows in windows(held_out=True).split(32):
            logits = run(rows[:, :-1])
            targets = rows[:, 1:]
            loss += float(
                functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
            )
            total += targets.numel()
    return {"perplexity": math.exp(loss / total)}


def baseline() -> dict[str, float]:
    """Return the perplexity of the training split's frequencies, whatever came before."""
    counts = stream(held_out=False).bincount(minlength=docstrings.VOCABULARY).double() + 1
    targets = windows(held_out=True)[:, 1:]
    return {"perplexity": math.exp(-float((counts / counts.sum()).log()[targets].mean()))}


def training_batches(size: int, seed: int) -> Iterator[tuple[Inputs, torch.Tensor]]:
    """Yield batches of stretches that begin anywhere in the training text."""
    random = np.random.RandomState(seed)
    text = stream(held_out=False).unfold(0, LENGTH + 1, 1)
    while True:
        rows = text[torch.from_numpy(random.randint(0, len(text), size))]
        yield (rows[:, :-1],), rows[:, 1:]
