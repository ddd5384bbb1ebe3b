"""Hostile arrays: headers that lie, objects in disguise, archives in strange ways."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator

import numpy as np

from .good import Good

_F4 = "'descr': '<f4', 'fortran_order': False, "
HEADERS: dict[str, str] = {
    "giant": f"{{{_F4}'shape': (10000000000000, 4)}}",
    "giant-row": f"{{{_F4}'shape': (1, 99999999999999)}}",
    "negative": f"{{{_F4}'shape': (-6, 4)}}",
    "negative-both": f"{{{_F4}'shape': (-6, -4)}}",
    "longer": f"{{{_F4}'shape': (60, 4)}}",
    "shorter": f"{{{_F4}'shape': (2, 4)}}",
    "flags": f"{{{_F4}'shape': (True, 4)}}",
    "text-shape": f"{{{_F4}'shape': 'many'}}",
    "no-shape": f"{{{_F4}}}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (6, 4)}",
    "structure": "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (6,)}",
    "fields": "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (6, 2)}",
    "text": "{'descr': '<U1', 'fortran_order': False, 'shape': (6, 4)}",
    "dates": "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (6, 2)}",
    "long-double": "{'descr': '<f16', 'fortran_order': False, 'shape': (6, 1)}",
    "complex": "{'descr': '<c8', 'fortran_order': False, 'shape': (6, 2)}",
    "no-type": "{'descr': 'none', 'fortran_order': False, 'shape': (6, 4)}",
    "call": "__import__('os').system('true')",
    "deep": "(" * 500 + ")" * 500,
    "no-literal": "\x1b[31m",
    "scalar": f"{{{_F4}'shape': ()}}",
}


class _Opener:
    """What a pickle calls when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("opened-by-a-pickle", "w")


def hostile_arrays(good: Good) -> Iterator[tuple[str, str, bytes]]:
    """Yield the name, the file's name and the content of hostile arrays."""
    values = np.load(good["data.npz"])["input"].tobytes()
    for name, header in HEADERS.items():
        yield f"npz-{name}", "data.npz", _archive({"input": _array(header, values)})
        yield f"npy-{name}", "rows.npy", _array(header, values)
    whole = np.lib.format.header_data_from_array_1_0(np.zeros((6, 4), np.float32))
    sound = _array(repr(whole), values)
    yield "npz-version", "data.npz", _archive({"input": b"\x93NUMPY\x09\x00" + sound[8:]})
    yield "npz-of-another-input", "data.npz", _archive({"\x1b[31mother": sound})
    yield "npz-that-climbs", "data.npz", _archive({"../input": sound})
    yield "npz-of-nothing", "data.npz", _archive({})
    yield "npz-empty-member", "data.npz", _archive({"input": b""})
    yield "npz-half", "data.npz", _archive({"input": sound})[:-30]
    yield "npz-pickle", "data.npz", pickle.dumps(_Opener())
    yield "npy-pickle", "rows.npy", pickle.dumps(_Opener())
    yield "npy-zip", "rows.npy", _archive({"input": sound})
    objects = io.BytesIO()
    np.save(objects, np.array([_Opener()] * 4, dtype=object), allow_pickle=True)
    yield "npy-objects-that-open", "rows.npy", objects.getvalue()
    yield "npz-objects-that-open", "data.npz", _archive({"input": objects.getvalue()})
    yield "npz-unknown-packing", "data.npz", _patched(_archive({"input": sound}), b"\x63\x00")
    yield "npz-locked", "data.npz", _patched(_archive({"input": sound}), None)


def _array(header: str, values: bytes) -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values


def _archive(members: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return held.getvalue()


def _patched(archive: bytes, packing: bytes | None) -> bytes:
    """Change how an archive says that its first member is packed, or that it has a password."""
    central = archive.index(b"PK\x01\x02")
    changed = bytearray(archive)
    if packing is None:
        changed[6] |= 1
        changed[central + 8] |= 1
    else:
        changed[8:10] = packing
        changed[central + 10 : central + 12] = packing
    return bytes(changed)
