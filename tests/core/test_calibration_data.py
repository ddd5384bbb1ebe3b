"""Calibration data from files: batches like the example, and errors that name file and array."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim

from rewrite import UsageError, capture
from rewrite.calibration_data import check_data, choose_calibration
from rewrite.descriptors import Model
from rewrite.request import CalibrationData, Request


class Two(nn.Module):
    def forward(self, ids: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x + ids[:, None]


class One(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Sum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(-1)


def two(batch: int = 3) -> dict[str, torch.Tensor]:
    return {"ids": torch.arange(batch), "x": torch.randn(batch, 4)}


def program_of(model: nn.Module, inputs, dynamic=None):
    return capture(model.eval(), inputs, dynamic)


def load(program, path, find=None, seed: int = 0, keep: bool = True, **images):
    """Return (batches, identity) of the data at a path; the number of batches if not kept."""
    request = Request("m", calibration=CalibrationData(str(path), **images), seed=seed)
    description = Model("m", model=nn.Module, inputs=lambda: ())
    chosen, identity = choose_calibration(request, description, program, find)
    batches = chosen.calibration()
    return list(batches) if keep else sum(1 for _ in batches), identity


BATCH = {name: {0: Dim("batch", min=1)} for name in ("ids", "x")}


def arrays(count: int = 7) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "ids": generator.integers(0, 9, count),
        "x": generator.normal(size=(count, 4)).astype(np.float32),
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_cut_into_batches_of_the_examples_size(tmp_path, save):
    save(tmp_path / "d.npz", **arrays())
    batches, _ = load(program_of(Two(), two(), BATCH), tmp_path / "d.npz")
    assert [len(b["x"]) for b in batches] == [3, 3, 1]
    for name, array in arrays().items():
        joined = torch.cat([b[name] for b in batches])
        assert joined.dtype == torch.from_numpy(array).dtype
        assert torch.equal(joined, torch.from_numpy(array))


def test_a_rest_is_left_out_where_the_batch_is_fixed(tmp_path):
    np.savez(tmp_path / "d.npz", **arrays())
    batches, _ = load(program_of(Two(), two()), tmp_path / "d.npz")
    assert [len(b["x"]) for b in batches] == [3, 3]


def test_types_of_a_kind_are_converted_and_columns_may_be_stored_first(tmp_path):
    given = {"ids": arrays()["ids"].astype(np.int16), "x": np.asfortranarray(arrays()["x"] * 1.0)}
    np.savez(tmp_path / "d.npz", **given)
    batches, _ = load(program_of(Two(), two(), BATCH), tmp_path / "d.npz")
    assert batches[0]["ids"].dtype == torch.int64 and batches[0]["x"].dtype == torch.float32
    assert torch.equal(torch.cat([b["x"] for b in batches]), torch.from_numpy(arrays()["x"]))


def test_positional_inputs_are_given_by_position(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.ones((2, 4), np.float32))
    (batch,), _ = load(program_of(One(), (torch.randn(2, 4),)), tmp_path / "d.npz")
    assert isinstance(batch, tuple) and torch.equal(batch[0], torch.ones(2, 4))


def changed(**changes):
    return {k: v for k, v in {**arrays(), **changes}.items() if v is not None}


WRONG = {
    "missing": (changed(x=None), "'{path}' has no array 'x'"),
    "unknown": (changed(y=np.zeros(7)), "unknown input 'y'"),
    "lengths": (changed(ids=np.arange(6)), "different lengths: 'ids' 6, 'x' 7"),
    "shape": (
        changed(x=np.zeros((7, 5), np.float32)),
        r"{path}, row 0: 'x' has shape \[5\], expected \[4\]",
    ),
    "kind": (changed(ids=np.zeros(7)), "row 0: 'ids' is float64, expected torch.int64"),
    "bytes": (changed(x=np.zeros((7, 4), np.uint8)), "'x' is uint8, expected torch.float32"),
    "number": (changed(x=np.float32(1)), "array 'x' of '{path}' is a single number"),
    "objects": (changed(x=np.array([None] * 7)), "array 'x' of '{path}' holds Python objects"),
    "few": ({k: v[:2] for k, v in arrays().items()}, "'{path}' holds 2 samples, a batch takes 3"),
    "none": ({k: v[:0] for k, v in arrays().items()}, "'{path}' holds 0 samples"),
}


@pytest.mark.parametrize(
    ("count", "hint"),
    [
        (0, "its arrays are empty: give some samples"),
        (2, "give 3 or more, or make the batch dimension dynamic"),
    ],
)
def test_the_hint_suits_the_number_of_samples(tmp_path, count, hint):
    np.savez(tmp_path / "d.npz", **{name: v[:count] for name, v in arrays().items()})
    with pytest.raises(UsageError) as caught:
        load(program_of(Two(), two()), tmp_path / "d.npz")
    assert caught.value.hint == hint


@pytest.mark.parametrize("name", WRONG)
def test_arrays_that_do_not_suit_are_named(tmp_path, name):
    given, message = WRONG[name]
    path = tmp_path / "d.npz"
    np.savez(path, **given)
    with pytest.raises(UsageError, match=message.format(path=path)):
        load(program_of(Two(), two()), path)


def test_no_more_than_the_current_rows_are_in_memory(tmp_path):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.zeros((1000, 10_000), np.float32))
    tracemalloc.start()
    try:
        batches, _ = load(program_of(Sum(), (torch.randn(2, 10_000),)), path, keep=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert batches == 500 and peak < 4_000_000


def test_a_folder_has_a_file_for_each_sample(tmp_path):
    for number, row in enumerate(arrays()["x"]):
        np.save(tmp_path / f"{number}.npy", row)
    batches, _ = load(program_of(One(), (torch.randn(3, 4),)), tmp_path)
    assert torch.equal(torch.cat([b[0] for b in batches]), torch.from_numpy(arrays()["x"][:6]))


def test_several_inputs_have_a_folder_each(tmp_path):
    for name, array in arrays().items():
        (tmp_path / name).mkdir()
        for number, row in enumerate(array):
            np.save(tmp_path / name / f"{number}.npy", row)
    batches, _ = load(program_of(Two(), two(), BATCH), tmp_path)
    assert torch.equal(torch.cat([b["ids"] for b in batches]), torch.from_numpy(arrays()["ids"]))
    (tmp_path / "x" / "3.npy").unlink()
    with pytest.raises(UsageError, match=f"'3.npy' is in '{tmp_path / 'ids'}' only"):
        load(program_of(Two(), two(), BATCH), tmp_path)
    for file in [*(tmp_path / "x").iterdir(), tmp_path / "x"]:
        file.rmdir() if file.is_dir() else file.unlink()
    with pytest.raises(UsageError, match=f"'{tmp_path}' has no folder 'x'"):
        load(program_of(Two(), two(), BATCH), tmp_path)


def test_files_that_do_not_suit_are_named(tmp_path):
    program = program_of(One(), (torch.randn(2, 4),))
    with pytest.raises(UsageError, match=r"holds neither [.]npy files nor images"):
        load(program, tmp_path)
    np.save(tmp_path / "a.npy", np.zeros(5, np.float32))
    with pytest.raises(UsageError, match=r"a.npy: 'x' has shape \[5\], expected \[4\]"):
        load(program, tmp_path)
    (tmp_path / "a.npy").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"a[.]npy' is not an array"):
        load(program, tmp_path)


def test_samples_of_different_lengths_do_not_make_a_batch(tmp_path):
    for number, length in enumerate((3, 4)):
        np.save(tmp_path / f"{number}.npy", np.zeros(length, np.float32))
    program = program_of(One(), (torch.randn(2, 4),), ({0: Dim("b"), 1: Dim("n")},))
    with pytest.raises(UsageError, match=r"1.npy has another shape than those before it"):
        load(program, tmp_path)


def test_a_model_of_the_zoo_lends_its_data():
    lender = Model("z", nn.Module, lambda: (), calibration=lambda: [(torch.ones(2, 4),)])
    program = program_of(One(), (torch.randn(2, 4),))
    batches, identity = load(program, "zoo:z", lambda name: lender)
    assert torch.equal(batches[0][0], torch.ones(2, 4)) and identity == "zoo:z"
    bare = Model("z", nn.Module, lambda: ())
    with pytest.raises(UsageError, match="'zoo:z' has no calibration data"):
        load(program, "zoo:z", lambda name: bare)


def test_data_have_another_identity_when_they_change(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, **arrays())
    program = program_of(Two(), two(), BATCH)
    first = load(program, path)[1]
    assert load(program, path)[1] == first
    np.savez(path, **arrays(9))
    assert load(program, path)[1] != first


def test_the_models_own_data_are_identified_by_its_file(tmp_path):
    file = tmp_path / "m.py"
    file.write_text("a")
    program = program_of(One(), (torch.randn(2, 4),))
    description = Model("m", nn.Module, lambda: (), source=str(file))

    def identity():
        return choose_calibration(Request("m"), description, program, lambda name: description)[1]

    before = identity()
    assert identity() == before
    file.write_text("b")
    assert identity() != before


@pytest.mark.parametrize("name", ["missing.npz", "text.txt"])
def test_paths_are_looked_at_before_any_work(tmp_path, name):
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(UsageError, match=f"{tmp_path / name}'"):
        check_data(CalibrationData(str(tmp_path / name)))


class Mixed(nn.Module):
    def forward(self, x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return x @ table


def test_inputs_without_a_common_batch_need_calibration(tmp_path):
    program = program_of(Mixed(), (torch.randn(3, 4), torch.randn(4, 4)))
    with pytest.raises(UsageError, match="one batch size; the example's have 3, 4"):
        load(program, tmp_path)
