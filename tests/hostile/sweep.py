"""Give hostile files to the command line: what it does with each, held to what it may do.

python -m tests.hostile.sweep
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cli.conftest import call

from .damage import Hostile, hostile_files
from .good import Good, make_good

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
_opened: list[str] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        _opened.append(os.fsdecode(arguments[0]))


@dataclass
class Places:
    """Good files, a folder for hostile ones, and a file that none of them may have read."""

    good: Good
    folder: Path
    outside: Path

    @classmethod
    def make(cls, root: Path) -> Places:
        """Make them below a folder."""
        for name in ("good", "hostile", "outside"):
            (root / name).mkdir()
        secret = root / "outside" / "secret"
        secret.write_bytes(b"\x01\x02\x03\x04" * 4096)
        # With a time of reading before that of writing, any reading is noted by the system.
        os.utime(secret, (1, 2))
        return cls(make_good(root / "good"), root / "hostile", secret)

    def files(self, seed: int) -> Iterator[Hostile]:
        """Yield the hostile files."""
        return hostile_files(self.good, self.folder, self.outside, seed)


def try_file(places: Places, hostile: Hostile) -> tuple[int, str]:
    """Give a file to its command; raise AssertionError for what it must not do.

    Returns:
        The exit code, and the error.
    """
    hostile.write()
    before = _listing(places)
    _opened.clear()
    called = call(*hostile.arguments)
    name = hostile.name
    allowed = (1, 2, 3) if hostile.sure else (0, 1, 2, 3)
    assert called.code in allowed, (name, called.code, called.err)
    assert "internal error" not in called.err, (name, called.err)
    assert "Traceback" not in called.err, (name, called.err)
    assert not UNSEEN.search(called.err + called.out), (name, called.err)
    error = next((e for e in called.err.splitlines() if e.startswith("error: ")), "")
    assert error or called.code == 0, (name, called.err)
    assert places.outside.stat().st_atime == 1, name
    assert not any(path.endswith("secret") for path in _opened), (name, _opened)
    assert _listing(places) == before, (name, _listing(places).items() ^ before.items())
    for other in (hostile.path.name, *hostile.others):
        (hostile.path.parent / other).unlink()
    return called.code, error


def _listing(places: Places) -> dict[str, tuple[int, int]]:
    """Return size and time of every file, by its path."""
    files = (f for f in places.folder.parent.rglob("*") if "__pycache__" not in f.parts)
    return {str(f): (s.st_size, s.st_mtime_ns) for f in files if f.is_file() and (s := f.stat())}


def main() -> None:
    """Try all hostile files and print what became of them, by kind and exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-v", "--verbose", action="store_true", help="print every error")
    given = parser.parse_args()
    sys.addaudithook(_note)
    counts: Counter[tuple[str, int]] = Counter()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        places = Places.make(Path(folder))
        for hostile in places.files(given.seed):
            try:
                code, error = try_file(places, hostile)
            except AssertionError as wrong:
                failed += 1
                print(f"FAILED {hostile.kind} {hostile.name}: {wrong}", flush=True)
                continue
            counts[hostile.kind, code] += 1
            if given.verbose:
                print(f"{hostile.kind} {hostile.name}: {code} {error}", flush=True)
    print(f"{sum(counts.values())} files held, {failed} failed")
    for (kind, code), count in sorted(counts.items()):
        print(f"  {kind:<7} exit {code}: {count}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
