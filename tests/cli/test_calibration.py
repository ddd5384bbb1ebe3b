"""--calibration and its companions, from the command line to the file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from .conftest import call

INT8 = ("--preset", "int8")


def test_data_from_a_file_are_used_and_compared_on(tiny, tmp_path):
    data = tmp_path / "data.npz"
    np.savez(data, x=np.full((5, 1, 8, 8), 40, np.float32))
    done = call(tiny, *INT8, "-o", tmp_path / "a.pt2", "--calibration", data, "--json")
    assert done.code == 0, done.err
    (measures,) = [p["measures"] for p in done.json["passes"] if p["name"] == "calibrate"]
    assert measures["batches"] == 3
    state = torch.export.load(tmp_path / "a.pt2").state_dict
    (scale,) = [v for k, v in state.items() if "x_activation" in k and k.endswith("scale")]
    assert float(scale) == pytest.approx(40 / 255)


@pytest.mark.parametrize("command", ["show", "explain", "inspect"])
def test_other_commands_take_the_same_data(command, tiny, tmp_path):
    """As many batches as the file has, not as many as the model has."""
    data, cache = tmp_path / "data.npz", tmp_path / "cache"
    np.savez(data, x=np.full((5, 1, 8, 8), 40, np.float32))
    options = ("--calibration", data, "--calibration-cache", cache, "--seed", "1")
    done = call(command, tiny, *INT8, *options, "--json", "-q")
    assert done.code == 0, done.err
    assert cache.is_file()
    if command == "show":
        (measures,) = [p["measures"] for p in done.json["passes"] if p["name"] == "calibrate"]
        assert measures["batches"] == 3


@pytest.mark.parametrize("command", ["show", "explain", "inspect"])
def test_other_commands_tell_what_is_missing_before_they_begin(command, tiny):
    done = call(command, tiny, *INT8, "--calibration", "no.npz")
    assert done.code == 2
    assert done.error[0] == "error: there are no calibration data 'no.npz'"
    assert "capture" not in done.err


def test_inspection_measures_on_the_data_given(tiny, tmp_path):
    data = tmp_path / "data.npz"
    np.savez(data, x=np.full((5, 1, 8, 8), 40, np.float32))
    plain, given = (
        call("inspect", tiny, *INT8, *options, "--json", "-q").json["output_db"]
        for options in ((), ("--calibration", data))
    )
    assert plain != pytest.approx(given, abs=0.5)


def test_a_budget_of_size_goes_with_fixed_sizes(tiny):
    done = call(tiny, *INT8, "--fix", "batch=3", "--budget", "0.9x", "--dry-run", "--json", "-q")
    assert done.code == 0, done.err
    assert done.json["budget"]["changes"]


def test_a_cache_is_written_and_used(tiny, tmp_path):
    cache = tmp_path / "cache"
    command = (tiny, *INT8, "--calibration-cache", cache, "-q")
    for name in ("a", "b"):
        assert call(*command, "-o", tmp_path / f"{name}.onnx").code == 0
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    refused = call(*command, "--dry-run", "--seed", "0", "--target", "ort-x64")
    assert refused.code == 2
    assert refused.error == [
        f"error: the calibration cache '{cache}' is of another {refused.error[0].split()[-1]}",
        f"  hint: delete it, or give another name: rm {cache}",
    ]


def test_a_cache_is_of_the_program_that_is_compiled_and_not_of_trials(tiny, tmp_path):
    cache = tmp_path / "cache"
    options = ("--calibration-cache", cache, "--budget", "30", "--no-evaluate", "--dry-run")
    passes = "fold-batch-norm,insert-quantizers{bits=w3a8},calibrate"
    found = call(tiny, "--passes", passes, *options, "--json", "-q")
    assert found.code == 0, found.err
    assert cache.is_file()
    assert found.json["budget"]["overrides"], "every trial would be of the same program"


WRONG = {
    "missing": (["--calibration", "no.npz"], "there are no calibration data 'no.npz'"),
    "zoo": (["--calibration", "zoo:resnet-digts"], "unknown model 'resnet-digts'"),
    "mean": (["--mean", "0.5"], "--mean is for images"),
    "numbers": (["--mean", "a,b"], "'a,b' is not numbers, like 0.5,0.5,0.5"),
    "std": (["--std", "0"], "'0' is not positive"),
    "size": (["--image-size", "8by8"], "'8by8' is not a size, like 224x224"),
    "cache": (["--calibration-cache", "no/folder/cache"], "there is no folder"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_told(tiny, name):
    options, message = WRONG[name]
    done = call(tiny, *INT8, "--dry-run", *options)
    assert done.code == 2
    assert message in " ".join(done.error)


def test_a_folder_is_no_cache(tiny, tmp_path):
    done = call(tiny, *INT8, "--dry-run", "--calibration-cache", tmp_path)
    assert done.code == 2
    assert done.error[1] == f"  hint: name a file: {tmp_path / 'calibration'}"


@pytest.mark.parametrize("command", [(), ("show",)])
def test_a_cache_that_no_pass_keeps_is_told(tiny, tmp_path, command):
    passes = ("--preset", "float", *(() if command else ("--dry-run",)))
    done = call(*command, tiny, *passes, "--calibration-cache", tmp_path / "cache")
    assert done.code == 2
    assert done.error[0].startswith("error: --calibration-cache: none of the passes calibrates")
    assert "capture" not in done.err


def test_numbers_for_images_without_images(tiny, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((5, 1, 8, 8), np.float32))
    done = call(tiny, *INT8, "--dry-run", "--calibration", tmp_path / "d.npz", "--mean", "0.5")
    assert done.code == 2
    assert done.error[0].startswith("error: --mean is for images, and ")
    assert "capture" not in done.err


def test_cuda_without_a_gpu(tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = call(tiny, *INT8, "--dry-run", "--device", "cuda")
    assert done.code == 2
    assert done.error[0].startswith("error: there is no device 'cuda': ")
    assert done.error[1] == "  hint: --device cpu"
    assert "capture" not in done.err
