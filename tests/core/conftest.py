from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rewrite.plugin_host import PluginHost
from rewrite.plugin_loading import installed, source

_NUMBERS = itertools.count()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Install a fake distribution: a module and a .dist-info folder on sys.path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: list[str] = []

    def add(name: str, body: str, *, version: str = "1.0", distribution: str | None = None) -> str:
        distribution = distribution or f"dist-{name}"
        module = f"fake_{name.replace('-', '_')}_{next(_NUMBERS)}"
        info = tmp_path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(f"[rewrite]\n{name} = {module}\n")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(body))
        modules.append(module)
        return module

    yield add
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def make_host() -> Callable[..., PluginHost]:
    """Make a host without the built-in plugins, whatever state they are in."""

    def make(block: tuple[str, ...] = (), plugins: tuple[str, ...] = ()) -> PluginHost:
        own = [e.name for e in installed() if source(e)[0] == "rewrite-compiler"]
        return PluginHost(block=(*own, *block), plugins=plugins)

    return make
