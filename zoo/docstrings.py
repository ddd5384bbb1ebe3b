"""English text: the docstrings of Python's standard library, as ASCII codes, split by module."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache

import numpy as np

from . import checkpoints

CORPUS = checkpoints.FOLDER / "docstrings.json.gz"
SOURCE = "docstrings of the Python 3.11 standard library (PSF licence)"
HELD_OUT = (
    "cgi",
    "graphlib",
    "heapq",
    "json",
    "nntplib",
    "pathlib",
    "random",
    "socketserver",
    "statistics",
    "tempfile",
    "textwrap",
)

# A token is the code of a character. Of the codes that no text uses, three get a meaning.
VOCABULARY = 128
PAD, START, MASK = 0, 1, 2
LENGTH = 128
"""Positions in the models' tables, so the longest sequence."""


@lru_cache(maxsize=1)
def corpus() -> dict[str, list[str]]:
    """Return module name -> docstrings; no docstring occurs twice."""
    return json.loads(gzip.decompress(CORPUS.read_bytes()))


def documents(held_out: bool) -> list[np.ndarray]:
    """Return the docstrings of a split, each an int64 array that begins with START."""
    return [
        np.array([START, *text.encode("ascii")], dtype=np.int64)
        for name, texts in corpus().items()
        if (name in HELD_OUT) == held_out
        for text in texts
    ]
