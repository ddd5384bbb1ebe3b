"""A third party's target: a TOML file beside its plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

PLUGIN = """
from pathlib import Path

from rewrite import Target, hookimpl


@hookimpl
def rewrite_targets():
    yield Target.load(Path(__file__).parent / "mine.toml")
"""


@pytest.fixture
def plugin(tmp_path) -> Path:
    """Return a plugin file that yields the target of `mine.toml`, which is not there yet."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path
