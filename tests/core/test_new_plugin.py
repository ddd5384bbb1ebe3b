from __future__ import annotations

import subprocess
import sys

import pytest

from rewrite import UsageError
from rewrite.new_plugin import new_plugin


def written(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_files_of_a_new_plugin(tmp_path):
    folder = new_plugin("rewrite-fold-scale", tmp_path / "work")
    assert folder == tmp_path / "work" / "rewrite-fold-scale"
    assert written(folder) == [
        "README.md",
        "pyproject.toml",
        "src/rewrite_fold_scale/__init__.py",
        "src/rewrite_fold_scale/fold_scale.py",
        "tests/golden/fold-scale.txt",
        "tests/test_fold_scale.py",
    ]
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_nothing_is_left_to_fill_in(tmp_path):
    folder = new_plugin("fold-scale", tmp_path)
    for name in written(folder):
        text = (folder / name).read_text()
        assert "$" not in text, name
        assert "MODULE" not in text, name
    assert 'fold-scale = "fold_scale"' in (folder / "pyproject.toml").read_text()
    assert "class FoldScale(RulePass)" in (folder / "src/fold_scale/fold_scale.py").read_text()


@pytest.mark.slow
def test_its_test_passes_as_it_is(tmp_path):
    folder = new_plugin("fold-scale", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_host_takes_what_it_yields(tmp_path, make_host, monkeypatch):
    folder = new_plugin("fold-scale", tmp_path)
    monkeypatch.syspath_prepend(str(folder / "src"))
    host = make_host(plugins=("fold_scale",))
    assert host.find_pass("fold-scale").summary() == "Remove negations of negations."
    for name in [n for n in sys.modules if n.partition(".")[0] == "fold_scale"]:
        monkeypatch.delitem(sys.modules, name)


def test_an_empty_folder_may_be_there_already(tmp_path):
    (tmp_path / "fold-scale").mkdir()
    assert written(new_plugin("fold-scale", tmp_path))


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "fold-scale").mkdir()
    (tmp_path / "fold-scale" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there already, and not empty"):
        new_plugin("fold-scale", tmp_path)
    assert written(tmp_path) == ["fold-scale/mine.txt"]


def test_an_error_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(self, values):
        raise OSError("disk full")

    monkeypatch.setattr("string.Template.substitute", fail)
    with pytest.raises(OSError, match="disk full"):
        new_plugin("fold-scale", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["Fold", "fold_scale", "1fold", "fold--scale", "-fold", "../x", ""]
)
def test_a_name_that_is_no_package_name_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="is not a name for a plugin"):
        new_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["class", "json", "torch", "rewrite", "rewrite-class"])
def test_a_name_that_python_uses_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="cannot be the name of a plugin"):
        new_plugin(name, tmp_path)
