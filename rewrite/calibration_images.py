"""Samples from folders of images."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rewrite.calibration_arrays import Sample
from rewrite.errors import UsageError, first_line
from rewrite.named_files import require_plain
from rewrite.program import Program
from rewrite.request import CalibrationData

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def image_samples(
    path: Path, program: Program, given: CalibrationData, seed: int
) -> Iterator[Sample]:
    """Yield the images of a folder and its subfolders as (value - mean)/std, [C, H, W].

    A value is in [0, 1]: of 255, or of 65535 in a grey image of 16 bits. They come in an order
    drawn from `seed`, since folders are often sorted by what images show.

    Raises:
        UsageError: when the model takes no images, an image is damaged or has values of unknown
            range, or Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError:
        raise UsageError(
            "reading images needs Pillow", hint="pip install 'rewrite-compiler[images]'"
        ) from None
    name, channels, size = _layout(program, given)
    mean, std = (_per_channel(v, channels) for v in (given.mean or (0.0,), given.std or (1.0,)))
    files = sorted(f for f in path.rglob("*") if f.suffix.lower() in IMAGES)
    random.Random(seed).shuffle(files)
    for file in files:
        require_plain(file)
        try:
            with Image.open(file) as image:
                mode, white = _mode(image.mode, channels, file)
                resized = image.convert(mode).resize(size[::-1], Image.Resampling.BILINEAR)
        except UsageError:
            raise
        except Exception as error:  # each format of Pillow has its own, and a bomb one more
            what = f"'{file}' is not an image: {first_line(error)}"
            raise UsageError(what, hint="remove it") from None
        pixels = np.asarray(resized, dtype=np.float32).reshape(*size, -1) / white
        values = np.broadcast_to(pixels, (*size, channels))
        normal = ((values - mean) / std).astype(np.float32)
        yield Sample(str(file), {name: normal.transpose(2, 0, 1)})


def _mode(given: str, channels: int, file: Path) -> tuple[str, int]:
    """Return the mode of Pillow to read an image in, and the value of white in it."""
    if given.startswith("I;16"):
        return "F", 65535  # any other conversion of Pillow cuts off what is above 255
    if given in ("I", "F"):
        raise UsageError(
            f"'{file}' holds values of unknown range (mode {given} of Pillow)",
            hint="save it with 8 bits, or with 16 bits in shades of grey; or give a .npz file",
        )
    return {1: "L", 3: "RGB"}[channels], 255


def _layout(program: Program, given: CalibrationData) -> tuple[str, int, tuple[int, int]]:
    """Return name, channels, and height and width of the image input."""
    example = program.signature.flatten_inputs(*program.example)
    shape = list(example[0].shape)
    if len(example) != 1 or len(shape) != 4 or shape[1] not in (1, 3):
        raise UsageError(
            "a folder of images suits a model with one input [batch, 1 or 3, height, width]",
            hint="give a .npz file, or write calibration() in the model file",
        )
    height, width = given.image_size or (shape[2], shape[3])
    return program.signature.input_names[0], shape[1], (height, width)


def _per_channel(values: tuple[float, ...], channels: int) -> np.ndarray:
    if len(values) not in (1, channels):
        raise UsageError(
            f"{len(values)} values given for {channels} channel{'s'[: channels != 1]}",
            hint="--mean and --std take one number, or one for each channel",
        )
    return np.asarray(values, dtype=np.float64)
