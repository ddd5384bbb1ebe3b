"""What people name as a file and is none, or has two parts to play, is told before any work."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rewrite import UsageError
from rewrite.destination import check_writable, replacing
from rewrite.named_files import check_distinct, read_text, special, split_model


@pytest.fixture
def fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo.onnx")
    return tmp_path / "fifo.onnx"


def test_what_is_special_is_told(fifo, tmp_path, monkeypatch):
    assert special(fifo) == "a FIFO"
    assert special(Path("/dev/null")) == special(Path("/dev/full")) == "a device"
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.onnx")
        assert special(tmp_path / "socket.onnx") == "a socket"
    assert special(tmp_path) == special(tmp_path / "none") == ""
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "circle").symlink_to("circle")
    assert special(tmp_path / "link") == "a device" and special(tmp_path / "circle") == ""


def test_a_fifo_is_neither_written_nor_read(fifo):
    with pytest.raises(UsageError, match=r"cannot write '.*fifo.onnx': it is a FIFO"):
        check_writable(fifo, "model.onnx")
    with pytest.raises(UsageError, match=r"fifo.onnx' is a FIFO, not a file"):
        read_text(fifo, "the recipe")


def test_text_that_is_none(tmp_path):
    (tmp_path / "recipe").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot read the recipe: 'utf-8' codec can't decode"):
        read_text(tmp_path / "recipe", "the recipe")
    with pytest.raises(UsageError, match="cannot read the recipe: No such file"):
        read_text(tmp_path / "none", "the recipe")


def test_links_that_can_be_written(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "dangling").symlink_to(tmp_path / "none" / "none")
    for name in ("circle", "dangling"):
        check_writable(tmp_path / name, "model.onnx")
    (tmp_path / "folder").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="it is a folder"):
        check_writable(tmp_path / "folder", "model.onnx")
    check_writable(tmp_path / "folder" / "model.onnx", "model.onnx")


@pytest.mark.parametrize(
    "make",
    [
        lambda path, other: None,
        lambda path, other: other.symlink_to(path),
        lambda path, other: (path.touch(), other.hardlink_to(path)),
        lambda path, other: (path.touch(), other.symlink_to(path)),
    ],
    ids=["one name", "link to nothing", "second name", "link"],
)
def test_one_file_of_two_names(make, tmp_path):
    path, other = tmp_path / "a", tmp_path / "b"
    make(path, other)
    other = other if other.exists() or other.is_symlink() else tmp_path / "." / "x" / ".." / "a"
    with pytest.raises(UsageError, match="the output and the recipe are the same file") as caught:
        check_distinct({"the output": path, "none": None, "the recipe": other})
    assert caught.value.hint == "give each a file of its own"


def test_names_that_differ_by_case_alone(tmp_path):
    with pytest.raises(UsageError, match=r"are the same file: '.*/A' and '.*/a'"):
        check_distinct({"the output": tmp_path / "A", "the recipe": tmp_path / "a"})
    (tmp_path / "A").touch()
    if (tmp_path / "a").exists():
        return  # a disk that does not tell cases apart
    (tmp_path / "a").touch()
    check_distinct({"the output": tmp_path / "A", "the recipe": tmp_path / "a"})


def test_other_files_are_distinct(tmp_path):
    check_distinct({"the output": tmp_path / "a", "the recipe": tmp_path / "b", "it": None})


def test_model_and_factory():
    assert split_model("a/b.py:make") == ("a/b.py", "make")
    assert split_model("a/b.py") == ("a/b.py", "model") and split_model("zoo:x") == (
        "zoo:x",
        "model",
    )


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "cache"
    path.write_text("old")
    with pytest.raises(ValueError, match="half"), replacing(path) as partial:
        partial.write_text("half")
        raise ValueError("half way")
    assert path.read_text() == "old"
    with replacing(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_a_file_is_replaced_where_a_link_was(tmp_path):
    (tmp_path / "real").write_text("as it was")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with replacing(tmp_path / "link") as partial:
        partial.write_text("new")
    assert (tmp_path / "link").read_text() == "new" and not (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "as it was"


def test_a_disk_that_takes_no_more_is_told(tmp_path):
    path = tmp_path / "cache"
    with (
        pytest.raises(UsageError, match=r"cannot write '.*cache': No space left on device"),
        replacing(path) as partial,
    ):
        partial.symlink_to("/dev/full")
        with partial.open("w") as file:
            file.write("more than it takes")
            file.flush()
    assert list(tmp_path.iterdir()) == []
