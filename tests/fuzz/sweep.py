"""Thousands of cases over a few processes; one that dies takes only its own case along."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .differential import CRASH, Finding

_ROOT = Path(__file__).parents[2]
_COMMAND = [sys.executable, "-m", "tests.fuzz.worker"]
_PATIENCE_S = 240.0

Case = dict[str, Any]


def cases(
    seeds: Iterable[int], targets: Iterable[str], presets: Iterable[str], every: bool
) -> Iterator[Case]:
    """Yield what to try: one target and preset for each seed in turn, or all of them.

    A target that asks for integers everywhere has nothing to say about a float file.
    """
    pairs = [(t, p) for p in presets for t in targets if not (t == "qnn" and p == "float")]
    for seed in seeds:
        # Groups of steps lead in turn too: a shift keeps a group from meeting one pair only.
        chosen = pairs if every else [pairs[(seed + seed // 16) % len(pairs)]]
        for target, preset in chosen:
            yield {"seed": seed, "target": target, "preset": preset}


def key(case: Case) -> tuple[int, str, str]:
    return case["seed"], case["target"], case["preset"]


def read(path: Path) -> list[Finding]:
    """Return the findings of a file that an earlier run may have left half written."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(Finding(**json.loads(line)))
        except ValueError:
            continue
    return found


def sweep(
    todo: list[Case], results: Path, jobs: int, tell: Callable[[int, int, Finding], None]
) -> list[Finding]:
    """Try all cases that the file of results does not have yet; return all that were asked for."""
    asked = {key(case) for case in todo}
    done = {(f.seed, f.target, f.preset): f for f in read(results)}
    waiting: queue.Queue[Case] = queue.Queue()
    for case in todo:
        if key(case) not in done:
            waiting.put(case)
    lock = threading.Lock()
    results.parent.mkdir(parents=True, exist_ok=True)
    if results.is_file() and not results.read_text(encoding="utf-8").endswith("\n"):
        with results.open("a", encoding="utf-8") as file:
            file.write("\n")  # the run before was stopped in the middle of a line

    def keep(found: Finding) -> None:
        with lock, results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found.as_json()) + "\n")
            done[found.seed, found.target, found.preset] = found
            tell(len(asked & done.keys()), len(asked), found)

    threads = [threading.Thread(target=_work, args=(waiting, keep)) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found for place, found in done.items() if place in asked]


def _work(waiting: queue.Queue[Case], keep: Callable[[Finding], None]) -> None:
    worker: _Worker | None = None
    while True:
        try:
            case = waiting.get_nowait()
        except queue.Empty:
            break
        worker = worker or _Worker()
        found = worker.ask(case)
        if found is None:
            found = Finding(*key(case), CRASH, worker.end())
            worker = None
        keep(found)
    if worker is not None:
        worker.end()


class _Worker:
    """One process that tries cases."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        self.is_late = False

    def ask(self, case: Case) -> Finding | None:
        """Return what was found; None when the process died or never answered."""
        assert self.process.stdin is not None and self.process.stdout is not None
        clock = threading.Timer(_PATIENCE_S, self._stop)
        clock.start()
        try:
            self.process.stdin.write(json.dumps(case) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        finally:
            clock.cancel()
        return Finding(**json.loads(line)) if line else None

    def _stop(self) -> None:
        self.is_late = True
        self.process.kill()

    def end(self) -> str:
        """Close the process and say how it ended."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait()
        if self.is_late:
            return f"no answer in {_PATIENCE_S:g} s"
        return f"the process died: {code}"
