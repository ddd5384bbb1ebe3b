"""Whether the machine is busy with something else, so that timings say little."""

from __future__ import annotations

import os

_OWN = 0.5
"""Load in processors, beside one thread on each of them, that is the compilation's own."""


def busy() -> str:
    """Say how busy the machine is, in words for a warning; nothing where timings are sound."""
    if not hasattr(os, "getloadavg"):
        return ""
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    if load <= processors + _OWN:
        return ""
    return (
        f"the machine is busy (load {load:.1f} on {processors} processors): timings are not to be "
        "trusted"
    )
