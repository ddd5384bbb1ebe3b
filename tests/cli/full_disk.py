"""Call the command line where no file can grow past a limit, as on a disk that is full.

One process for many calls: a JSON list of {limit, two, arguments} on stdin, and on stdout one of
{code, error, files}. The limit is in bytes, or below zero so many fewer than the largest file
takes; `two` has weights written beside the model.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from rewrite import file_parts

from .conftest import call, seen_files


def main(folder: Path) -> None:
    """Make the calls, and list what is in a folder behind each."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    found = []
    for each in json.loads(sys.stdin.read()):
        file_parts._ONE_FILE_BYTES = 0 if each["two"] else 1 << 30
        limit = each["limit"] if each["limit"] >= 0 else _largest(folder, each) + each["limit"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        called = call(*each["arguments"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        files = seen_files(folder)
        found.append({"code": called.code, "error": called.err, "files": files})
    print(json.dumps(found))


def _largest(folder: Path, each: dict[str, Any]) -> int:
    """Return the size of the largest file that a call writes where there is room."""
    assert call(*each["arguments"]).code == 0
    written = [file for file in folder.iterdir() if file.is_file()]
    largest = max(file.stat().st_size for file in written)
    for file in written:
        file.unlink()
    return largest


if __name__ == "__main__":
    main(Path(sys.argv[1]))
