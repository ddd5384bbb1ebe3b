"""TOML text from files of other people."""

from __future__ import annotations

import sys
from typing import Any

from rewrite.errors import UsageError, first_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(text: str, what: str, source: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Args:
        text: of a file.
        what: the file is to people, such as `the recipe`.
        source: its path.

    Raises:
        UsageError: for text that is no TOML, or more than a reader takes: a number of thousands of
            digits, lists a thousand deep.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not valid TOML: {first_line(error)}", where=source) from None
