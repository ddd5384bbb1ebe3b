"""Hostile files, each made from a good one: by hand for what each format holds, and at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .arrays import hostile_arrays
from .caches import hostile_caches
from .good import FAULTS, PASSES, PLUGIN, Good
from .models import hostile_models
from .texts import RECIPES, TARGETS

ROUNDS = 9
"""How many files of each kind are damaged at random."""


@dataclass
class Hostile:
    """A damaged file, and the command that it is given to."""

    kind: str
    name: str
    path: Path
    content: bytes
    arguments: list[Any]
    sure: bool = True
    """False where the damage may leave a sound file."""
    others: dict[str, Any] = field(default_factory=dict)
    """Files that belong to it by name: bytes, or the path that a link leads to."""

    def write(self) -> None:
        """Put it where the command looks."""
        self.path.write_bytes(self.content)
        for name, content in self.others.items():
            other = self.path.parent / name
            if isinstance(content, Path):
                other.symlink_to(content)
            else:
                other.write_bytes(content)


def hostile_files(good: Good, folder: Path, outside: Path, seed: int) -> Iterator[Hostile]:
    """Yield hostile files of every kind.

    Args:
        good: what they are made from.
        folder: where they are to lie.
        outside: a file that none of them may have read.
        seed: of what is random.
    """
    yield from _models(good, folder, outside)
    for name, text in RECIPES.items():
        yield _recipe(good, folder, name, text)
    for name, text in TARGETS.items():
        yield _target(good, folder, name, text)
    for name, content in hostile_caches(good):
        yield _cache(good, folder, name, content)
    for name, file, content in hostile_arrays(good):
        yield _array(good, folder, name, file, content)
    yield from _images(good, folder)
    yield from _at_random(good, folder, random.Random(seed))


def _models(good: Good, folder: Path, outside: Path) -> Iterator[Hostile]:
    against = ["--against", good.model, "--threads", 1]
    data = {file.name: file.read_bytes() for file in good.folder.glob("two.onnx.*.data")}
    for name, content, others, rules in hostile_models(good, outside):
        sure = name != "graph-twice"  # runtimes take the last of two that are alike
        arguments = ["--target", "qnn"] if rules else against
        path = folder / f"{name}.onnx"
        yield Hostile(
            "ONNX", name, path, content, ["check", path, *arguments], sure, {**data, **others}
        )


def _recipe(good: Good, folder: Path, name: str, text: bytes, *, sure: bool = True) -> Hostile:
    path = folder / f"{name}.toml"
    arguments = [good.model, "--recipe", path, "--dry-run"]
    return Hostile("recipe", name, path, text, arguments, sure)


def _target(good: Good, folder: Path, name: str, text: bytes, *, sure: bool = True) -> Hostile:
    path, plugin = folder / f"{name}.toml", folder / f"{name}.py"
    is_fault = name.startswith("fault")
    source = (FAULTS if is_fault else PLUGIN).format(target=str(path))
    arguments = [good.model, "--plugin", plugin, "--dry-run", "--passes", "remove-dead-code"]
    others = {plugin.name: source.encode()}
    return Hostile("TOML", name, path, text, arguments, sure, others)


def _cache(good: Good, folder: Path, name: str, content: bytes, *, sure: bool = True) -> Hostile:
    path = folder / f"{name}.cache"
    arguments = [good.model, "--passes", PASSES, "--target", "ort-x64", "--dry-run"]
    return Hostile("cache", name, path, content, [*arguments, "--calibration-cache", path], sure)


def _array(
    good: Good, folder: Path, name: str, file: str, content: bytes, *, sure: bool = True
) -> Hostile:
    path = folder / name / file
    path.parent.mkdir()
    data = path if file.endswith(".npz") else path.parent
    arguments = [good.model, "--passes", PASSES, "--dry-run", "--calibration", data]
    return Hostile("array", name, path, content, arguments, sure)


def _images(good: Good, folder: Path) -> Iterator[Hostile]:
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\x86\xa0\0\1\x86\xa0\x08\2\0\0\0"
    contents = {
        "empty": b"",
        "text": b"not an image",
        "bomb": header + b"\xad\x0c\xb5\x61" + b"\0\0\0\0IEND\xaeB`\x82",
        "cut": header[:20],
        "bmp": b"BM" + b"\xff" * 60,
        "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF" + b"\xff" * 40,
    }
    for name, content in contents.items():
        path = folder / f"images-{name}" / "image.png"
        path.parent.mkdir()
        arguments = [good["images.py"], "--passes", PASSES, "--dry-run"]
        yield Hostile(
            "image", f"image-{name}", path, content, [*arguments, "--calibration", path.parent]
        )


def _at_random(good: Good, folder: Path, draw: random.Random) -> Iterator[Hostile]:
    """Cut, flip, overwrite and swap files; what is left may be sound."""
    target = b'name = "mine"\nextends = "portable"\nopset = 20\n[spec.wide]\ndtype = "int16"\n'
    for number in range(ROUNDS):
        for kind, content in _damaged(good["model.onnx"].read_bytes(), draw):
            path = folder / f"random-{number}-{kind}.onnx"
            against = ["--against", good.model, "--threads", 1]
            yield Hostile("ONNX", path.stem, path, content, ["check", path, *against], sure=False)
        for kind, content in _damaged(good["recipe.toml"].read_bytes(), draw):
            yield _recipe(good, folder, f"random-recipe-{number}-{kind}", content, sure=False)
        for kind, content in _damaged(good["cache"].read_bytes(), draw):
            yield _cache(good, folder, f"random-cache-{number}-{kind}", content)
        for kind, content in _damaged(good["data.npz"].read_bytes(), draw):
            name = f"random-npz-{number}-{kind}"
            yield _array(good, folder, name, "data.npz", content, sure=False)
        for kind, content in _damaged(target, draw):
            yield _target(good, folder, f"random-target-{number}-{kind}", content, sure=False)
        content = good["model.pt2"].read_bytes()
        path = folder / f"random-{number}.pt2.onnx"
        cut = content[: draw.randrange(len(content))]
        yield Hostile("pt2", path.stem, path, cut, ["check", path, "--target", "qnn"])


def _damaged(content: bytes, draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield one content in some ways that it is damaged, drawn at random."""
    yield "cut", content[: draw.randrange(len(content))]
    flipped = bytearray(content)
    for _ in range(draw.choice((1, 4, 32))):
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
    yield "flipped", bytes(flipped)
    start, length = draw.randrange(len(content)), draw.choice((8, 64))
    noise = draw.randbytes(length)
    yield "noise", content[:start] + noise + content[start + length :]
