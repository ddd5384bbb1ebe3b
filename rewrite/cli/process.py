"""The command line as a process of its own."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

from rewrite.cli.app import main

_YOUNG, _MIDDLE, _OLD = 100_000, 20, 20


def run_process() -> NoReturn:
    """Run the command line with the arguments of the process and exit with its code."""
    # Spinning OpenMP threads halve the speed of small operators when the cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Tracing makes objects by the million and next to no garbage: looking for it as often as
    # Python does by default takes an eighth of the time, and once more a second at the exit.
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    try:
        sys.exit(main())
    finally:
        # What is frozen is never freed, which the bindings of triton tell as leaks of theirs.
        if "triton" not in sys.modules:
            gc.freeze()
