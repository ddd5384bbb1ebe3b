from __future__ import annotations

import pytest

ALL_FORMS = "--all-forms"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs what only repeats other tests on more models."""
    parser.addoption(ALL_FORMS, action="store_true", help="every third-party model in every form")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other forms, unless they are asked for."""
    if config.getoption(ALL_FORMS):
        return
    skipped = [item for item in items if "all_forms" in item.keywords]
    config.hook.pytest_deselected(items=skipped)
    items[:] = [item for item in items if "all_forms" not in item.keywords]
