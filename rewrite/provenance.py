"""Where a node comes from in the user's source."""

from __future__ import annotations

import functools
import linecache
import os
import re
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import fx

_FRAME = re.compile(r'File "([^"]+)", line (\d+)(?:, in \S+)?')

CARRIED = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "seq_nr")
"""Entries of `Node.meta` that new nodes take over from the nodes they replace."""

_LOOKED_AT = 200
"""Calls that are looked at for a line of the user's."""

_COMPILER = f"{Path(__file__).parent}{os.sep}"
_TORCH = f"{Path(torch.__file__).parent}{os.sep}"
_TORCH_MADE = "torch/fx/passes/"
"""How torch writes its own files where a node stands for no line: not as absolute paths."""


@functools.cache
def is_library(file: str) -> bool:
    """Tell whether a source file is an installed package's or Python's own, not the user's."""
    return bool({"site-packages", "dist-packages"} & set(Path(file).parts)) or is_framework(file)


@functools.cache
def is_framework(file: str) -> bool:
    """Tell whether a source file is torch's, a launcher's or Python's own: never a model's."""
    if file.startswith(("<", _TORCH_MADE)):
        return True
    paths = sysconfig.get_paths()
    own = [paths[name] for name in ("stdlib", "platstdlib")]
    inside = any(file.startswith(f"{folder}{os.sep}") for folder in own)
    package = {"site-packages", "dist-packages"} & set(Path(file).parts)
    return (inside and not package) or file.startswith(_TORCH)


def frames(node: fx.Node) -> list[tuple[str, int]]:
    """Return the (file, line) frames recorded for a node, outermost first."""
    return list(_frames_in(node.meta.get("stack_trace") or ""))


@functools.lru_cache(maxsize=4096)
def _frames_in(trace: str) -> tuple[tuple[str, int], ...]:
    return tuple((file, int(line)) for file, line in _FRAME.findall(trace))


def source_line(node: fx.Node) -> str:
    """Return the innermost line that is the user's own, as `file:line: code`; '' if unknown.

    Where every frame is a library's, as in a model that a package builds, the path of the module
    says which layer it is, and the nearest line of the user's where it is called.
    """
    trace = node.meta.get("stack_trace") or ""
    if _reaches_user(trace):
        return line_of(trace)
    path, near = module_path(node), _nearest_line(node)
    layer = f"module '{path}'" if path else ""
    told = [layer, f"near {near}" if near else line_of(trace)]
    return ", ".join(part for part in told if part)


def _nearest_line(node: fx.Node) -> str:
    """Return the user's line of the call that is nearest along the graph, '' where none has one."""
    seen = {node}
    layer = [node]
    while layer and len(seen) < _LOOKED_AT:
        around = [n for each in layer for n in (*each.all_input_nodes, *each.users)]
        layer = [n for n in dict.fromkeys(around) if n not in seen]
        seen.update(layer)
        for each in layer:
            trace = each.meta.get("stack_trace") or ""
            if _reaches_user(trace):
                return line_of(trace)
    return ""


@functools.lru_cache(maxsize=4096)
def _reaches_user(trace: str) -> bool:
    """Tell whether a line of a stack trace is the user's own."""
    return any(not is_library(file) for file, _ in _frames_in(trace))


def line_of(trace: str) -> str:
    """Return the innermost line of a stack trace that is the user's own; '' for no trace."""
    found = _frames_in(trace)
    if not found:
        return ""
    own = [f for f in found if not is_library(f[0])]
    file, line = (own or found)[-1]
    code = linecache.getline(file, line).strip()
    return f"{short_path(file)}:{line}: {code}" if code else f"{short_path(file)}:{line}"


def module_path(node: fx.Node) -> str:
    """Return the dotted path of the innermost module the node belongs to, '' at the root."""
    stack = node.meta.get("nn_module_stack") or {}
    for path, _ in reversed(list(stack.values())):
        if isinstance(path, str) and not path.startswith("_empty"):
            return path
    return ""


def short_path(file: str) -> str:
    """Return a path as seen from the working folder, when it lies below it."""
    path = Path(file)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def user_frame(error: BaseException) -> str | None:
    """Return `file:line: code` of the innermost frame that is the user's own.

    Where there is none, as with a model of an installed package, of the innermost one that is not
    of torch or the standard library either.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return innermost([f for link in chain for f in traceback.extract_tb(link.__traceback__)])


def innermost(frames: Sequence[traceback.FrameSummary]) -> str | None:
    """Return `file:line: code` of the last frame that is the user's own, else of a library's."""
    frames = [f for f in reversed(frames) if not f.filename.startswith(_COMPILER)]
    for foreign in (is_library, is_framework):
        frame = next((f for f in frames if not foreign(f.filename)), None)
        if frame is not None:
            return f"{short_path(frame.filename)}:{frame.lineno}: {(frame.line or '').strip()}"
    return None
