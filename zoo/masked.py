"""The task of naming characters hidden in a docstring, as BERT is pre-trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch

from . import docstrings
from .docstrings import LENGTH, MASK, PAD, START
from .family import Inputs, Run

RATE = 0.15
EVALUATION_SEED = 1
CALIBRATION_SEED = 2
IGNORED = -100
CURRICULUM = ((1000, 32), (1800, 64))
"""(step, longest piece in training before it)"""
SHORTEST = 16
"""Characters below which a piece of text tells too little to guess from."""


@lru_cache(maxsize=8)
def pieces(held_out: bool, length: int = LENGTH) -> list[np.ndarray]:
    """Return the docstrings cut at white space into pieces of at most `length`, with START."""
    return [
        piece
        for document in docstrings.documents(held_out)
        for piece in cut(document[1:], length - 1)
        if len(piece) > SHORTEST
    ]


def cut(text: np.ndarray, limit: int) -> Iterator[np.ndarray]:
    """Yield consecutive pieces of at most `limit` characters, each led by START."""
    while len(text):
        end = len(text)
        if end > limit:
            spaces = np.flatnonzero(text[:limit] <= ord(" "))
            end = int(spaces[-1]) + 1 if len(spaces) else limit
        yield np.concatenate([[START], text[:end]])
        text = text[end:]


def batch(chosen: list[np.ndarray], random: np.random.RandomState) -> tuple[Inputs, torch.Tensor]:
    """Pad to the longest piece and hide characters.

    Returns ((input_ids, attention_mask), targets), all int64 of shape (N, S); the mask is 1 on
    text and 0 on padding, the target is IGNORED wherever nothing was hidden.
    """
    longest = max(map(len, chosen))
    texts = np.stack([np.pad(piece, (0, longest - len(piece))) for piece in chosen])
    hidden = (random.random_sample(texts.shape) < RATE) & (texts != PAD) & (texts != START)
    input_ids = torch.from_numpy(np.where(hidden, MASK, texts))
    attention_mask = torch.from_numpy((texts != PAD).astype(np.int64))
    return (input_ids, attention_mask), torch.from_numpy(np.where(hidden, texts, IGNORED))


def inputs() -> Inputs:
    """Return four training pieces: (input_ids, attention_mask), each (4, S)."""
    input_ids, attention_mask = next(calibration())
    return input_ids[:4], attention_mask[:4]


def calibration() -> Iterator[Inputs]:
    """Yield 8 batches of 8 training pieces."""
    random = np.random.RandomState(CALIBRATION_SEED)
    train = pieces(held_out=False)
    for _ in range(8):
        chosen = random.choice(len(train), 8, replace=False)
        yield batch([train[index] for index in chosen], random)[0]


def evaluate(run: Run) -> dict[str, float]:
    """Return the percentage of hidden held-out characters that are named right."""
    correct = total = 0
    with torch.no_grad():
        for arguments, targets in evaluation_batches():
            guesses = run(*arguments).argmax(-1)
            correct += int((guesses == targets).sum())
            total += int((targets != IGNORED).sum())
    return {"masked_accuracy": 100 * correct / total}


def evaluation_batches() -> Iterator[tuple[Inputs, torch.Tensor]]:
    """Yield the held-out pieces, shortest first, with the same characters hidden each time."""
    random = np.random.RandomState(EVALUATION_SEED)
    ordered = sorted(pieces(held_out=True), key=len)
    for start in range(0, len(ordered), 32):
        yield batch(ordered[start : start + 32], random)


def baseline() -> dict[str, float]:
    """Return the accuracy of always naming the commonest training character."""
    counts = np.bincount(np.concatenate(pieces(held_out=False)))
    counts[START] = 0
    targets = torch.cat([targets[targets != IGNORED] for _, targets in evaluation_batches()])
    return {"masked_accuracy": 100 * float((targets == int(counts.argmax())).float().mean())}


def training_batches(size: int, seed: int) -> Iterator[tuple[Inputs, torch.Tensor]]:
    """Yield batches of random training pieces with other characters hidden each time.

    The first are cut shorter, and are more to a batch: in short pieces a model soon finds that
    neighbours matter, which in long ones takes it several times as many steps.
    """
    random = np.random.RandomState(seed)
    for step in itertools.count():
        length = next((length for until, length in CURRICULUM if step < until), LENGTH)
        train = pieces(held_out=False, length=length)
        chosen = random.choice(len(train), size * LENGTH // length, replace=False)
        yield batch([train[index] for index in chosen], random)
