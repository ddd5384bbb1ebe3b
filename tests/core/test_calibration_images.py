"""Calibration data from a folder of images: sizes, normalisation, modes, and clear errors."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch.export import Dim

from rewrite import UsageError
from rewrite.calibration_data import check_data
from rewrite.request import CalibrationData

from .test_calibration_data import One, arrays, load, program_of


def images(folder, count: int = 4, size=(6, 5), mode: str = "RGB"):
    from PIL import Image

    for number in range(count):
        inside = folder / f"class{number % 2}"
        inside.mkdir(exist_ok=True)
        Image.new(mode, size[::-1], (number * 10,) * 3 if mode == "RGB" else number * 10).save(
            inside / f"{number}.png"
        )


def picture_program(channels: int = 3, batch: int = 2):
    return program_of(One(), (torch.randn(batch, channels, 8, 8),))


def test_images_are_resized_and_normalised(tmp_path):
    pytest.importorskip("PIL")
    images(tmp_path)
    batches, _ = load(picture_program(), tmp_path, mean=(0.1, 0.2, 0.3), std=(0.5,))
    assert [tuple(b[0].shape) for b in batches] == [(2, 3, 8, 8)] * 2
    grey = torch.arange(4).float() * 10 / 255
    expected = (grey[:, None] - torch.tensor([0.1, 0.2, 0.3])) / 0.5
    found = torch.cat([b[0] for b in batches])[:, :, 4, 4]
    torch.testing.assert_close(found.sort(0).values, expected)


def test_the_order_of_images_has_a_seed(tmp_path):
    pytest.importorskip("PIL")
    images(tmp_path, count=16)
    orders = [load(picture_program(), tmp_path, seed=seed) for seed in (0, 0, 1)]
    joined = [torch.cat([b[0] for b in batches]) for batches, _ in orders]
    assert torch.equal(joined[0], joined[1]) and not torch.equal(joined[0], joined[2])
    assert orders[0][1] == orders[1][1] != orders[2][1]


def test_grey_images_and_another_size(tmp_path):
    pytest.importorskip("PIL")
    images(tmp_path, mode="L")
    shapes = ({2: Dim("height", max=64), 3: Dim("width", max=64)},)
    program = program_of(One(), (torch.randn(4, 1, 8, 8),), shapes)
    (batch,), _ = load(program, tmp_path, image_size=(12, 10))
    assert batch[0].shape == (4, 1, 12, 10)
    with pytest.raises(UsageError, match=r"has shape \[1, 12, 10\], expected \[1, 8, 8\]"):
        load(picture_program(1), tmp_path, image_size=(12, 10))


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_of_grey_keep_their_range(tmp_path, channels):
    image = pytest.importorskip("PIL.Image")
    for number in range(4):
        grey = np.full((6, 5), number * 20_000 + 7, np.uint16)
        image.fromarray(grey).save(tmp_path / f"{number}.png")
    batches, _ = load(picture_program(channels), tmp_path, mean=(0.5,), std=(0.25,))
    joined = torch.cat([b[0] for b in batches])
    expected = ((torch.arange(4) * 20_000 + 7) / 65535 - 0.5) / 0.25
    found = joined[:, 0, 4, 4].sort().values
    torch.testing.assert_close(found, expected)
    assert torch.equal(joined, joined[:, :1, :1, :1].expand(4, channels, 8, 8))


@pytest.mark.parametrize(("mode", "dtype"), [("I", np.int32), ("F", np.float32)])
def test_values_of_unknown_range_are_refused(tmp_path, mode, dtype):
    image = pytest.importorskip("PIL.Image")
    file = tmp_path / "0.png"  # Pillow looks at what is in a file, not at its name
    image.fromarray(np.full((6, 5), 1000, dtype)).save(file, format="TIFF")
    with pytest.raises(UsageError, match=f"'{file}' holds values of unknown range .mode {mode}"):
        load(picture_program(1), tmp_path)


def test_images_for_a_model_that_takes_none(tmp_path):
    pytest.importorskip("PIL")
    images(tmp_path)
    with pytest.raises(UsageError, match="suits a model with one input"):
        load(program_of(One(), (torch.randn(2, 4),)), tmp_path)
    with pytest.raises(UsageError, match="2 values given for 3 channels"):
        load(picture_program(), tmp_path, mean=(0.1, 0.2))
    (tmp_path / "class0" / "0.png").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"0[.]png' is not an image"):
        load(picture_program(), tmp_path)


def test_without_pillow_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"never opened")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match="needs Pillow") as caught:
        load(picture_program(), tmp_path)
    assert caught.value.hint == "pip install 'rewrite-compiler[images]'"


IMAGE_OPTIONS = {
    "mean": ({"mean": (0.5,)}, "--mean is for images"),
    "std": ({"std": (0.5,)}, "--std is for images"),
    "all": (
        {"image_size": (8, 8), "mean": (0.5,), "std": (0.5,)},
        "--image-size and --mean and --std are for images",
    ),
}


@pytest.mark.parametrize("name", IMAGE_OPTIONS)
@pytest.mark.parametrize("place", ["d.npz", "folder", "zoo:z"])
def test_options_of_images_are_refused_for_anything_else(tmp_path, monkeypatch, name, place):
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", **arrays())
    (tmp_path / "folder").mkdir()
    np.save("folder/a.npy", np.zeros(4, np.float32))
    options, message = IMAGE_OPTIONS[name]
    check_data(CalibrationData(place))
    with pytest.raises(UsageError, match=f"{message}, and '{place}' holds none"):
        check_data(CalibrationData(place, **options))


def test_options_of_images_go_with_images(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not opened yet")
    check_data(CalibrationData(str(tmp_path), image_size=(8, 8), mean=(0.5,), std=(0.5,)))
