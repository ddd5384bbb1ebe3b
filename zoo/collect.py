"""Collect the docstring corpus from the running Python: `python -m rewrite_zoo.collect`.

The stored corpus is from Python 3.11. Other versions word some docstrings differently, so that
a new corpus means new splits: train the text models anew after it.
"""

from __future__ import annotations

import ast
import gzip
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from .docstrings import CORPUS, HELD_OUT

MODULES = """
    argparse ast asyncio base64 bdb bz2 calendar cmd code codecs codeop collections compileall
    concurrent configparser contextlib copy csv ctypes datetime dbm difflib dis doctest email
    ensurepip enum filecmp fileinput fnmatch fractions ftplib functools getopt gettext glob gzip
    hashlib hmac html http imaplib importlib inspect ipaddress locale logging lzma mailbox
    mimetypes modulefinder multiprocessing netrc ntpath numbers operator optparse os pdb pickle
    pickletools pkgutil platform plistlib poplib posixpath pprint profile pstats py_compile
    pyclbr pydoc queue re reprlib rlcompleter runpy sched secrets selectors shelve shlex shutil
    signal site smtplib socket sqlite3 ssl string subprocess symtable sysconfig tabnanny tarfile
    threading timeit tokenize tomllib trace traceback types typing unittest urllib uuid venv
    warnings wave weakref webbrowser wsgiref xml xmlrpc zipapp zipfile zipimport
"""
TRAINING = tuple(MODULES.split())


def main() -> None:
    """Write the corpus: module name -> its docstrings, each docstring once in the whole corpus."""
    seen: set[str] = set()
    corpus: dict[str, list[str]] = {}
    for name in sorted({*TRAINING, *HELD_OUT}):
        fresh = dict.fromkeys(text for text in module_docstrings(name) if text not in seen)
        corpus[name] = list(fresh)
        seen.update(fresh)
    packed = gzip.compress(json.dumps(corpus).encode("ascii"), 9, mtime=0)
    CORPUS.write_bytes(packed)
    print(f"{sum(map(len, seen))} characters in {len(seen)} docstrings, {len(packed)} bytes packed")


def module_docstrings(name: str) -> Iterator[str]:
    """Yield the docstrings of a module, or of every source file of a package."""
    library = Path(sysconfig.get_path("stdlib"))
    package = library / name
    paths = sorted(package.rglob("*.py")) if package.is_dir() else [library / f"{name}.py"]
    for path in paths:
        if not {"test", "tests"} & set(path.parts):
            yield from file_docstrings(path)


def file_docstrings(path: Path) -> Iterator[str]:
    """Yield the ASCII docstrings of a file, in the order of the text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
    for node in sorted(nodes, key=lambda node: getattr(node, "lineno", 0)):
        text = ast.get_docstring(node)
        if text and text.isascii():
            yield text


if __name__ == "__main__":
    main()
