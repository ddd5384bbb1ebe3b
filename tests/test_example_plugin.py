"""The example plugin as a stranger would use it: built, installed, found and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "example_plugin"
USE = """
import json, torch
from torch import nn
from rewrite import Context
from rewrite.lowering.lower import lower
from rewrite.options import build
from rewrite.pipeline import run_passes
from rewrite.plugin_host import PluginHost
from rewrite import capture

class Model(nn.Module):
    def forward(self, x):
        return nn.functional.hardswish(x * 2.0) * 3.0 * 0.5

host = PluginHost()
info = next(p for p in host.plugins() if p.name == "example")
merge = build(host.find_pass("merge-factors"), "merge-factors", {"limit": "100"})
program = capture(Model().eval(), (torch.ones(2, 3),))
result = run_passes(program, [merge], Context(), origin=host.pass_origin)
table = {entry.overload: entry.translate for entry in host.lowerings()}
onnx = lower(result.program, 20, table, {}).model
print(json.dumps({
    "info": [info.source, info.status, info.provides, info.error],
    "origin": host.origin("pass", "merge-factors"),
    "preset": host.find_preset("example").passes,
    "rewrites": result.reports[0].outcome.rewrites,
    "ledger": result.program.ledger[0]["from"],
    "text": result.program.text(),
    "onnx": [node.op_type for node in onnx.graph],
}))
"""


def run(*command: str, **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel of the plugin and install it into a folder of its own."""
    pytest.importorskip("pip")
    work = tmp_path_factory.mktemp("example")
    # A copy, for the build leaves its traces beside the source.
    source = shutil.copytree(SOURCE, work / "source")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    offline = ("--no-deps", "--no-index")
    run(*pip, "wheel", *offline, "--no-build-isolation", "-w", str(work), str(source))
    (wheel,) = work.glob("*.whl")
    run(*pip, "install", *offline, "--target", str(work / "site"), str(wheel))
    return work / "site"


@pytest.mark.slow
def test_an_installed_plugin_is_found_listed_and_run(installed: Path) -> None:
    path = os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    seen = json.loads(run(sys.executable, "-c", USE, PYTHONPATH=path))
    assert seen["info"] == [
        "rewrite-example-plugin 1.2.3",
        "active",
        {
            "pass": ["merge-factors"],
            "preset": ["example"],
            "lowering": ["aten.hardswish.default"],
        },
        None,
    ]
    assert seen["origin"] == seen["ledger"] == "rewrite-example-plugin 1.2.3"
    assert seen["preset"] == ["merge-factors"]
    assert seen["rewrites"] == 1
    assert "= mul(%1, other=1.5)" in seen["text"]
    assert seen["onnx"].count("Mul") == 2
    assert seen["onnx"].count("HardSwish") == 1
