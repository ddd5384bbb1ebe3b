"""Files that the command line is given: one file has one part to play, and none is a FIFO."""

import os
from pathlib import Path

import pytest

from rewrite.errors import CheckError

from .conftest import call, linear_model, seen_files


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["-o", "a.onnx", "--write-recipe", "a.onnx"],
            "the output and the recipe to write are the same file: 'a.onnx'",
        ),
        (
            ["-o", "a.onnx", "--write-recipe", "A.ONNX"],
            "the output and the recipe to write are the same file: 'a.onnx' and 'A.ONNX'",
        ),
        (
            ["-o", "a.onnx", "--calibration-cache", "b.onnx"],
            "the output and the calibration cache are the same file: 'a.onnx' and 'b.onnx'",
        ),
        (
            ["-o", "a.onnx", "--write-recipe", "linear_model.py"],
            "the recipe to write and the model file are the same file: 'linear_model.py'",
        ),
        (
            ["-o", "a.onnx", "--calibration-cache", "c.npz", "--calibration", "c.npz"],
            "the calibration cache and the calibration data are the same file: 'c.npz'",
        ),
        (["-o", "fifo.onnx"], "cannot write 'fifo.onnx': it is a FIFO"),
        (["-o", "null.onnx"], "cannot write 'null.onnx': it is a device"),
        (
            ["-o", "a.onnx", "--write-recipe", "/dev/full"],
            "cannot write '/dev/full': it is a device",
        ),
        (["--dry-run", "--recipe", "fifo.onnx"], "'fifo.onnx' is a FIFO, not a file"),
        (["--dry-run", "--calibration", "fifo.npz"], "'fifo.npz' is a FIFO, not a file"),
        (
            ["--dry-run", "--calibration-cache", "fifo.onnx"],
            "cannot write 'fifo.onnx': it is a FIFO",
        ),
    ],
)
def test_refused_before_any_work(arguments, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    linear_model(tmp_path)
    os.mkfifo("fifo.onnx")
    os.mkfifo("fifo.npz")
    Path("c.npz").touch()
    Path("null.onnx").symlink_to("/dev/null")
    Path("b.onnx").symlink_to("a.onnx")
    before = seen_files(tmp_path)
    called = call("linear_model.py", *arguments)
    assert called.code == 2
    assert called.error[0] == f"error: {error}"
    assert seen_files(tmp_path) == before


def test_a_fifo_is_no_model(tmp_path):
    os.mkfifo(tmp_path / "model.py")
    called = call(tmp_path / "model.py", "--dry-run")
    assert (called.code, called.error[0]) == (
        2,
        f"error: '{tmp_path / 'model.py'}' is a FIFO, not a file",
    )


def test_a_fifo_is_no_file_to_check(tmp_path):
    os.mkfifo(tmp_path / "model.onnx")
    called = call("check", tmp_path / "model.onnx", "--target", "qnn")
    assert (called.code, called.error[0]) == (
        2,
        f"error: '{tmp_path / 'model.onnx'}' is a FIFO, not a file",
    )


def test_a_recipe_may_be_read_and_renewed(tmp_path):
    model, recipe = linear_model(tmp_path), tmp_path / "r.toml"
    recipe.write_text('[[pass]]\nname = "remove-dead-code"\n')
    arguments = ["--recipe", recipe, "--write-recipe", recipe, "--target", "ort-x64"]
    called = call(model, "-o", tmp_path / "a.onnx", *arguments)
    assert called.code == 0, called.err
    assert 'target = "ort-x64"' in recipe.read_text()
    assert seen_files(tmp_path) == ["a.onnx", "linear_model.py", "r.toml"]


def test_a_link_at_the_output_is_replaced(tmp_path):
    model, link = linear_model(tmp_path), tmp_path / "link.onnx"
    (tmp_path / "real").mkdir()
    link.symlink_to(tmp_path / "real" / "model.onnx")
    called = call(model, "-o", link, "--target", "ort-x64")
    assert called.code == 0, called.err
    assert link.is_file() and not link.is_symlink() and seen_files(tmp_path / "real") == []


def test_a_model_that_leaves_the_folder_does_not_take_its_output_along(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    linear_model(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    text = Path("linear_model.py").read_text()
    Path("linear_model.py").write_text(f"import os\nos.chdir('elsewhere')\n{text}")
    called = call("linear_model.py", "-o", "a.onnx", "--write-recipe", "a.toml")
    assert called.code == 0, called.error
    assert (tmp_path / "a.onnx").is_file() and (tmp_path / "a.toml").is_file()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_failed_check_names_the_file_that_was_asked_for(tmp_path, monkeypatch):
    def fail(job, path):
        raise CheckError(f"cannot load {path}")

    monkeypatch.setattr("rewrite.write_out._write_onnx", fail)
    out = tmp_path / "model.onnx"
    called = call(linear_model(tmp_path), "-o", out, "--target", "ort-x64")
    assert called.code == 1
    assert called.error[0] == f"error: cannot load {out}"
