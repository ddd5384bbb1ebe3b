"""Handwritten digits: 1,797 real images of 8x8 pixels from UCI, as scikit-learn ships them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from .family import Inputs, Run

SIDE = 16
CLASSES = 10
HELD_OUT = 0.3
SPLIT_SEED = 0
MEAN, DEVIATION = 0.305, 0.376
SOURCE = "UCI Optical Recognition of Handwritten Digits (scikit-learn)"


@lru_cache(maxsize=1)
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images (1797, 1, 16, 16), enlarged and normalised, and their labels (1797,)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the digits models need scikit-learn: pip install 'rewrite-compiler[zoo]'"
        ) from error
    data = load_digits()
    small = torch.from_numpy(data.images).float()[:, None] / 16
    large = functional.interpolate(small, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return (large - MEAN) / DEVIATION, torch.from_numpy(data.target).long()


@lru_cache(maxsize=1)
def split() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of the training and the held-out split, the same share of each class."""
    _, labels = images()
    # RandomState, because its stream is the one that numpy promises never to change.
    random = np.random.RandomState(SPLIT_SEED)
    train, held_out = [], []
    for label in range(CLASSES):
        members = random.permutation(np.flatnonzero(labels.numpy() == label))
        cut = round(len(members) * HELD_OUT)
        held_out.append(members[:cut])
        train.append(members[cut:])
    return (
        torch.from_numpy(random.permutation(np.concatenate(train))),
        torch.from_numpy(np.sort(np.concatenate(held_out))),
    )


def inputs() -> Inputs:
    """Return four training images, (4, 1, 16, 16)."""
    pixels, _ = images()
    return (pixels[split()[0][:4]],)


def calibration() -> Iterator[Inputs]:
    """Yield 8 batches of 32 training images."""
    pixels, _ = images()
    for batch in split()[0][: 8 * 32].split(32):
        yield (pixels[batch],)


def evaluate(run: Run) -> dict[str, float]:
    """Return the top-1 accuracy in percent on the held-out images."""
    pixels, labels = images()
    correct = total = 0
    with torch.no_grad():
        for batch in split()[1].split(128):
            logits = run(pixels[batch])
            correct += int((logits.argmax(-1) == labels[batch]).sum())
            total += len(batch)
    return {"accuracy": 100 * correct / total}


def baseline() -> dict[str, float]:
    """Return the accuracy of always naming the commonest training class."""
    _, labels = images()
    train, held_out = split()
    majority = labels[train].bincount().argmax()
    return {"accuracy": 100 * float((labels[held_out] == majority).float().mean())}


def training_batches(size: int, seed: int) -> Iterator[tuple[Inputs, torch.Tensor]]:
    """Yield shuffled training images, each slightly turned, scaled and shifted."""
    pixels, labels = images()
    random = torch.Generator().manual_seed(seed)
    train = split()[0]
    while True:
        order = train[torch.randperm(len(train), generator=random)]
        for batch in order[: len(order) // size * size].split(size):
            yield (jitter(pixels[batch], random),), labels[batch]


def jitter(pixels: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Turn by up to 0.2 rad, scale by up to 10 %, shift by up to one and a half pixels."""
    angle, scale, right, down = torch.rand(4, len(pixels), generator=random) * 2 - 1
    angle, scale = 0.2 * angle, 1 + 0.1 * scale
    right, down = right * 3 / SIDE, down * 3 / SIDE
    top = torch.stack([scale * angle.cos(), -scale * angle.sin(), right], dim=1)
    bottom = torch.stack([scale * angle.sin(), scale * angle.cos(), down], dim=1)
    matrix = torch.stack([top, bottom], dim=1)
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
