"""Stack traces of captured calls that reach the user's own line."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from torch.fx import proxy

from rewrite.provenance import is_framework

_COMPILER = f"{Path(__file__).parent}{os.sep}"


@contextlib.contextmanager
def whole_traces() -> Iterator[None]:
    """Let torch.export record the functions that a forward calls, not forwards alone.

    Else a call in a helper is said to come from the line that calls the helper.
    """
    with mock.patch.object(proxy.TracerBase, "_filter_traceback_frames", _from_forward_on):
        yield


def _from_forward_on(_: Any, summary: traceback.StackSummary) -> traceback.StackSummary:
    first = next((i for i, frame in enumerate(summary) if frame.name == "forward"), len(summary))
    kept = [f for f in summary[first:] if f.name == "forward" or _is_of_model(f.filename)]
    return traceback.StackSummary.from_list(kept)


def _is_of_model(file: str) -> bool:
    return not is_framework(file) and not file.startswith(_COMPILER)
