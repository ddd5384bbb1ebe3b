"""A written model is whole: its weights have a name of their own, and no step leaves a mixture."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from rewrite import UsageError, file_parts
from rewrite.file_parts import parts_of, place, save, size_of

STEPS = 40
"""More calls of the system than putting a file in its place takes."""


def model(value: float) -> ir.Model:
    weight = onnx.numpy_helper.from_array(np.full(200, value, np.float32), "w")
    made = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[200] x) => (float[200] y)'
        "{ y = Add(x, w) }"
    )
    made.graph.initializer.append(weight)
    made.producer_name = "rewrite"
    return ir.serde.deserialize_model(made)


def value_of(path: Path) -> float:
    session = onnxruntime.InferenceSession(str(path))
    (result,) = session.run(None, {"x": np.zeros(200, np.float32)})
    assert (result == result[0]).all()
    return float(result[0])


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a model to a scratch folder and put it in its place, as one file or as two."""

    def write_model(value: float, output: Path, *, two: bool) -> None:
        monkeypatch.setattr(file_parts, "_ONE_FILE_BYTES", 0 if two else 1 << 30)
        scratch = tmp_path / ".rewrite-here-1-x"
        scratch.mkdir(exist_ok=True)
        save(model(value), scratch / output.name)
        place(scratch / output.name, output)
        shutil.rmtree(scratch)

    return write_model


def test_weights_beside_a_model_are_named_by_their_content(tmp_path, write):
    output = tmp_path / "model.onnx"
    write(1.0, output, two=True)
    weights, last = parts_of(output)
    assert last == output and re.fullmatch(r"model\.onnx\.[0-9a-f]{16}\.data", weights.name)
    assert size_of(output) == output.stat().st_size + 800
    first = weights.name
    write(2.0, output, two=True)
    assert parts_of(output)[0].name != first
    write(1.0, output, two=True)
    assert names(tmp_path) == ["model.onnx", first]


def test_old_weights_go_with_the_old_model(tmp_path, write):
    output = tmp_path / "model.onnx"
    write(1.0, output, two=True)
    write(2.0, output, two=True)
    assert len(names(tmp_path)) == 2 and value_of(output) == 2.0
    write(3.0, output, two=False)
    assert names(tmp_path) == ["model.onnx"] and value_of(output) == 3.0


def test_weights_that_an_earlier_version_left_are_removed(tmp_path, write):
    output = tmp_path / "model.onnx"
    ir.save(model(1.0), output, external_data="model.onnx.data")
    write(2.0, output, two=False)
    assert names(tmp_path) == ["model.onnx"]


def test_weights_of_others_stay(tmp_path, write):
    output = tmp_path / "model.onnx"
    foreign = model(1.0)
    foreign.producer_name = "pytorch"
    ir.save(foreign, output, external_data="model.onnx.data")
    write(2.0, output, two=False)
    (tmp_path / "other.onnx.0123456789abcdef.data").write_bytes(b"of another model")
    write(3.0, output, two=True)
    write(4.0, output, two=False)
    assert names(tmp_path) == [
        "model.onnx",
        "model.onnx.data",
        "other.onnx.0123456789abcdef.data",
    ]


def test_weights_that_a_copy_of_the_model_names_stay(tmp_path, write):
    output, copy = tmp_path / "model.onnx", tmp_path / "copy.onnx"
    write(1.0, output, two=True)
    copy.write_bytes(output.read_bytes())
    write(2.0, output, two=True)
    assert (value_of(output), value_of(copy)) == (2.0, 1.0)


def test_weights_that_another_run_is_about_to_name_stay(tmp_path, write):
    output, other = tmp_path / "model.onnx", tmp_path / ".rewrite-here-2-y"
    write(1.0, output, two=True)
    other.mkdir()
    (other / "model.onnx").write_bytes(output.read_bytes())
    write(2.0, output, two=False)
    assert len(names(tmp_path)) == 3
    (other / "model.onnx").replace(output)
    assert value_of(output) == 1.0


def test_weights_of_a_killed_run_go_with_the_next(tmp_path, write):
    output = tmp_path / "model.onnx"
    (tmp_path / "model.onnx.0123456789abcdef.data").write_bytes(b"no model came behind it")
    write(1.0, output, two=False)
    assert names(tmp_path) == ["model.onnx"]


def test_a_model_is_moved_together_with_its_weights(tmp_path, write):
    write(1.0, tmp_path / "model.onnx", two=True)
    (tmp_path / "away").mkdir()
    for part in parts_of(tmp_path / "model.onnx"):
        part.rename(tmp_path / "away" / part.name)
    (tmp_path / "away" / "model.onnx").rename(tmp_path / "away" / "renamed.onnx")
    assert value_of(tmp_path / "away" / "renamed.onnx") == 1.0
    assert len(parts_of(tmp_path / "away" / "renamed.onnx")) == 2


@pytest.mark.parametrize("two", [False, True], ids=["one file", "two"])
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
def test_a_link_is_replaced_and_not_followed(there, two, tmp_path, write):
    real, link = tmp_path / "there" / "real.onnx", tmp_path / "link.onnx"
    real.parent.mkdir()
    if there:
        real.write_bytes(b"as it was")
    link.symlink_to(real)
    write(1.0, link, two=two)
    assert not link.is_symlink() and value_of(link) == 1.0
    assert names(real.parent) == (["real.onnx"] if there else [])
    assert not there or real.read_bytes() == b"as it was"


def test_a_link_in_a_circle_is_replaced(tmp_path, write):
    link = tmp_path / "link.onnx"
    link.symlink_to(link)
    write(1.0, link, two=True)
    assert value_of(link) == 1.0


def test_through_a_link_to_a_folder_the_file_goes_there(tmp_path, write):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(1.0, tmp_path / "link" / "model.onnx", two=True)
    assert value_of(tmp_path / "real" / "model.onnx") == 1.0


def test_what_cannot_be_placed_leaves_what_was_there(tmp_path, write):
    output = tmp_path / "model.onnx"
    output.mkdir()
    with pytest.raises(UsageError, match=r"cannot write '.*model.onnx': Is a directory"):
        write(1.0, output, two=True)
    assert [n for n in names(tmp_path) if n.endswith(".data")] == []


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_killed_at_every_step(before, after, tmp_path, write):
    """A file that is found after a kill is the whole old one or the whole new one."""
    output, found = tmp_path / "model.onnx", set()
    for step in range(STEPS):
        write(1.0, output, two=before == 2)
        killed = _killed_at(step, lambda: write(2.0, output, two=after == 2))
        found.add(value_of(output))
        if not killed:
            break
    assert not killed and found == {1.0, 2.0}
    write(3.0, output, two=after == 2)
    assert len(names(tmp_path)) == after


def _killed_at(step: int, call) -> bool:
    """Call in a fork that ends right before its so many-th change of the file system."""
    child = os.fork()
    if child == 0:
        left = iter(range(step))

        def counted(original):
            def changed(*args, **kwargs):
                if next(left, None) is None:
                    os._exit(9)
                return original(*args, **kwargs)

            return changed

        for name in ("replace", "unlink", "rmdir", "mkdir"):
            setattr(Path, name, counted(getattr(Path, name)))
        os.fsync = counted(os.fsync)
        call()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
