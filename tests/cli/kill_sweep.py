"""Kill compilations at random moments: what is found is the whole old file or the whole new one.

    python -m tests.cli.kill_sweep --kills 100

One process imports the compiler once, and each compilation is a fork of it. Every second one writes
its weights to a file beside the model. The next run that is left alone must leave nothing behind.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

import rewrite.artifact
import rewrite.compile
import rewrite.file_parts
import rewrite.recheck
from rewrite.cli import main as command
from rewrite.file_parts import parts_of
from rewrite.recipe import read_recipe

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
"""SIGKILL twice as often: nothing cleans up behind it."""
WRITING = 0.5
"""Share of the kills that wait until the new file is there, to hit its last checks and moves."""
PATIENCE = 120.0
"""Seconds for one compilation on a busy machine."""
MODEL = """\
import torch
from torch import nn


def model():
    net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 4)).eval()
    for p in net.parameters():
        nn.init.constant_(p, {value})
    return net


def inputs():
    return (torch.ones(2, 4),)
"""


@dataclass
class Sweep:
    """A folder in which compilations are killed, and what was found there."""

    folder: Path
    draw: random.Random
    seconds: float = 0.0
    """How long a compilation takes that is left alone."""
    number: int = 0
    current: float | None = None
    """The weights of the file that is there."""
    found: Counter[str] = field(default_factory=Counter)

    @property
    def output(self) -> Path:
        return self.folder / "out" / "model.onnx"

    def run(self, kill: bool) -> None:
        """Compile a model of other weights, kill it or not, and look at what is there."""
        self.number += 1
        value = float(np.float32(0.01 * self.number))
        two = self.number % 2 == 0
        model = self.folder / f"model_{self.number}.py"
        model.write_text(MODEL.format(value=value))
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _compile(model, self.output, two)
        number = self._kill(child) if kill else 0
        ended = _wait(child)
        if not kill:
            assert ended == 0, ended
            self.seconds = time.monotonic() - started
        self._look(value, ended, number)
        model.unlink()

    def _kill(self, child: int) -> int:
        number = self.draw.choice(SIGNALS)
        if self.draw.random() < WRITING:
            deadline = time.monotonic() + PATIENCE
            while not any(self.output.parent.glob(".rewrite-*/*.onnx")):
                if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    break
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(self.draw.random() * self.seconds / 2)
        else:
            time.sleep(self.draw.random() * self.seconds)
        os.kill(child, number)
        return number

    def _look(self, value: float, ended: int, number: int) -> None:
        """Hold the folder to what may be there: nothing, the old file, or the new one."""
        if not self.output.exists():
            assert self.current is None and number
            self.found["nothing yet"] += 1
            return
        got = _answer(self.output)
        is_new = np.allclose(got, _expected(value), rtol=1e-4)
        is_old = self.current is not None and np.allclose(got, _expected(self.current), rtol=1e-4)
        assert is_new or is_old, (got, value, self.current)
        self.current = value if is_new else self.current
        recipe = self.output.with_name("recipe.toml")
        assert not recipe.exists() or read_recipe(recipe).passes
        if not number or number != signal.SIGKILL:
            self._look_for_remains()
        if number:
            self.found[
                f"{'new' if is_new else 'old'} file after {signal.Signals(number).name}"
            ] += 1

    def _look_for_remains(self) -> None:
        left = {p.name for p in self.output.parent.iterdir()} - {"recipe.toml"}
        assert left == {part.name for part in parts_of(self.output)}, left


def _compile(model: Path, output: Path, two: bool) -> None:
    """Be the command line, and end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    rewrite.file_parts._ONE_FILE_BYTES = 0 if two else 1 << 40
    recipe = output.with_name("recipe.toml")
    code = 99
    try:
        command(
            [str(model), "-o", str(output), "--target", "ort-x64", "--write-recipe", str(recipe)]
        )
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os._exit(code)


def _wait(child: int) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("a compilation does not end")


def _answer(path: Path) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # threads do not survive a fork
    session = onnxruntime.InferenceSession(str(path), options)
    (result,) = session.run(None, {session.get_inputs()[0].name: np.ones((2, 4), np.float32)})
    return np.asarray(result)


def _expected(value: float) -> float:
    return 64 * value * (4 * value + value) + value


def sweep(kills: int, seed: int, folder: Path) -> Counter[str]:
    """Kill so many compilations; raises AssertionError for anything mixed or left behind."""
    found = Sweep(folder, random.Random(seed))
    found.output.parent.mkdir()
    found.run(kill=False)
    for number in range(1, kills + 1):
        found.run(kill=True)
        print(f"{number} killed", file=sys.stderr)
        if number % 10 == 0 or number == kills:
            found.run(kill=False)
    return found.found


def main() -> None:
    """Run the sweep and print what was found after each kill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = sweep(given.kills, given.seed, Path(folder))
    print(f"{given.kills} kills, nothing mixed, nothing left behind")
    for what, count in sorted(found.items()):
        print(f"  {count:4} x {what}")


if __name__ == "__main__":
    main()
