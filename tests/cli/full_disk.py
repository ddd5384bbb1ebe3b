"""Call the command line where no file can grow past a limit, as on a disk that is full.

One process for many calls: a JSON list of {limit, two, arguments} on stdin, and on stdout one of
{code, error, files}. The limit is in bytes; `two` has weights written beside the model.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path

from rewrite import file_parts

from .conftest import call, seen_files


def main(folder: Path) -> None:
    """Make the calls, and list what is in a folder behind each."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    found = []
    for each in json.loads(sys.stdin.read()):
        file_parts._ONE_FILE_BYTES = 0 if each["two"] else 1 << 30
        resource.setrlimit(resource.RLIMIT_FSIZE, (each["limit"], resource.RLIM_INFINITY))
        called = call(*each["arguments"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        files = seen_files(folder)
        found.append({"code": called.code, "error": called.err, "files": files})
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
