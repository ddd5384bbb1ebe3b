"""The pytest side of the test kit: `pytest --update-golden` rewrites golden files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_updating = False


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`."""
    parser.getgroup("rewrite").addoption(
        "--update-golden",
        action="store_true",
        help="let rewrite.testing write golden files instead of comparing with them",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Remember the flag: a golden file is compared far from any fixture."""
    global _updating
    _updating = bool(config.getoption("--update-golden"))


def pytest_unconfigure() -> None:
    """Forget the flag."""
    global _updating
    _updating = False


def updating() -> bool:
    """Tell whether this run of pytest rewrites golden files."""
    return _updating
