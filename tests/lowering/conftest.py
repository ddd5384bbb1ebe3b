"""One registry of the exporter for all tests of this folder: reading it is most of an export."""

import pytest
from opinfo.registry import keep_registry


@pytest.fixture(autouse=True, scope="session")
def _one_registry():
    keep_registry()
