"""A disk that is full is an error that names the file, and nothing is left there."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import call, linear_model, seen_files

ROOT = Path(__file__).parents[2]
LAYER = "self.fc = nn.Linear(4, 4)"
LARGER = "self.fc = nn.Sequential(nn.Linear(4, 256), nn.Linear(256, 4))"
MODEL_BYTES, WEIGHT_BYTES = 4_000, 9_000
"""Less than the whole, more than a part of it takes."""
PASSES = ["--passes", "insert-quantizers,calibrate"]
CASES = {
    "one file": ("model.onnx", [], False, MODEL_BYTES),
    "nothing at all": ("model.onnx", [], False, 0),
    "weights": ("model.onnx", [], True, MODEL_BYTES),
    "pt2": ("model.pt2", [], False, MODEL_BYTES),
    "end of pt2": ("model.pt2", [], False, WEIGHT_BYTES),
    "last entry of metadata": ("model.onnx", [], False, -8),
    "cache": ("cache", [*PASSES, "--dry-run"], False, 100),
}


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """Call all in one process, and return what came of each."""
    folder = tmp_path_factory.mktemp("full")
    model = linear_model(folder)
    model.write_text(model.read_text().replace(LAYER, LARGER))
    (folder / "out").mkdir()
    calls = []
    for name, more, two, limit in CASES.values():
        where = "--calibration-cache" if name == "cache" else "-o"
        arguments = [str(model), where, str(folder / "out" / name), "--target", "ort-x64", *more]
        calls.append({"arguments": arguments, "two": two, "limit": limit})
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.full_disk", folder / "out"],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return folder / "out", dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_full_disk_is_told_and_left_as_it_was(case, called):
    folder, results = called
    result = results[case]
    assert result["code"] == 2, result
    error = result["error"][result["error"].index("error: ") :]
    assert "cannot write" in error and f"'{folder / CASES[case][0]}" in error
    assert "File too large" in error and "internal" not in error
    assert result["files"] == []


def test_a_recipe_that_the_disk_does_not_take_leaves_the_files_that_were_there(
    tmp_path, monkeypatch
):
    def full(path, *args, **kwargs):
        path.write_text("[[pa")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("rewrite.write_out.write_recipe", full)
    model, out, recipe = linear_model(tmp_path), tmp_path / "model.onnx", tmp_path / "recipe.toml"
    out.write_text("as it was")
    recipe.write_text("as it was")
    called = call(model, "-o", out, "--write-recipe", recipe, "--target", "ort-x64", *PASSES)
    assert called.code == 2
    assert called.error[0] == f"error: cannot write '{recipe}': No space left on device"
    assert out.read_text() == recipe.read_text() == "as it was"
    assert seen_files(tmp_path) == ["linear_model.py", "model.onnx", "recipe.toml"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("arguments", [["targets", "--json"], ["targets"], ["none", "--json"]])
def test_a_full_stdout_is_told(arguments):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "rewrite.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    told = "cannot write to stdout: No space left on device"
    assert done.returncode == (2 if "none" in arguments else 1), done.stderr
    assert done.stderr.startswith("error: unknown" if "none" in arguments else f"error: {told}")
    assert len(done.stderr.splitlines()) <= 2


def test_a_full_stderr_stops_nothing(tmp_path):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "rewrite.cli", "none"], stderr=full, capture_output=False
        )
    assert done.returncode == 2
