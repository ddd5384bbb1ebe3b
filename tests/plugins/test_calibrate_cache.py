"""Calibration that was stopped goes on where it was, and comes to the same scales bit by bit."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch
from rewrite_plugins.calibrate import Calibrate
from safetensors import safe_open
from safetensors.torch import save_file

from rewrite import Calibrator, CheckError, UsageError
from rewrite.device import DeviceInterpreter
from rewrite.quantization import cache

from .models import context, run
from .test_calibrate import batches, conv, marked

METHODS = ["min-max", "moving-average", "percentile", "entropy", "mse", "auto"]


@pytest.fixture(autouse=True)
def _eager(monkeypatch):
    """Write after every batch, as far as these tests know."""
    monkeypatch.setattr(cache, "_PATIENCE", 0.0)


@pytest.fixture(scope="module")
def program():
    return marked(conv(), batches()[0][0])


def settings(path: Path, data=None, identity: str = "some"):
    made = context(batches(6) if data is None else data)
    made.calibration_cache, made.calibration_identity = path, identity
    return made


def stopping(after: int):
    """Yield batches, and stop the run as a signal would."""
    yield from itertools.islice(batches(6), after)
    raise KeyboardInterrupt


def weights(program) -> dict[str, torch.Tensor]:
    return dict(program.used_weights())


def same(one, two) -> bool:
    mine, theirs = weights(one), weights(two)
    return mine.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in mine.items())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("after", [1, 4, 6])
def test_stopped_and_resumed(program, tmp_path, method, after):
    path = tmp_path / "cache"
    stopped = settings(path)
    stopped.calibration = lambda: stopping(after)
    with pytest.raises(KeyboardInterrupt):
        run(program, Calibrate(method=method), context=stopped)
    resumed = run(program, Calibrate(method=method), context=settings(path))
    assert same(resumed, run(program, Calibrate(method=method), context=context(batches(6))))


class Counted:
    """Counts the batches that are computed."""

    def __init__(self, monkeypatch):
        self.batches = 0
        before = DeviceInterpreter.run_inputs

        def run_inputs(interpreter, args, kwargs):
            self.batches += 1
            return before(interpreter, args, kwargs)

        monkeypatch.setattr(DeviceInterpreter, "run_inputs", run_inputs)


def stop(program, path: Path, after: int, method: str = "min-max") -> None:
    stopped = settings(path)
    stopped.calibration = lambda: stopping(after)
    with pytest.raises(KeyboardInterrupt):
        run(program, Calibrate(method=method), context=stopped)


def test_batches_before_the_stop_are_not_computed_again(program, tmp_path, monkeypatch):
    path = tmp_path / "cache"
    stop(program, path, 4)
    counted = Counted(monkeypatch)
    run(program, Calibrate(), context=settings(path))
    assert counted.batches == 2


@pytest.mark.parametrize("method", ["min-max", "auto"])
def test_a_complete_cache_needs_no_computing(program, tmp_path, monkeypatch, method):
    path = tmp_path / "cache"
    first = run(program, Calibrate(method=method), context=settings(path))
    counted = Counted(monkeypatch)
    assert same(run(program, Calibrate(method=method), context=settings(path)), first)
    assert counted.batches == 0


def changed(number: int) -> list:
    """Return the batches with the smallest change to one of them."""
    data = batches(6)
    first = data[number - 1][0].reshape(-1)[:1]
    first.copy_(torch.nextafter(first, torch.tensor(torch.inf)))
    return data


OTHER = {
    "another": (lambda: changed(3), "of other calibration data: batch 3 is another"),
    "order": (lambda: batches(6)[::-1], "of other calibration data: batch 1 is another"),
    "fewer": (lambda: batches(6)[:2], "of other calibration data: 2 of 4 batches are left"),
    "none": (list, "of other calibration data: 0 of 4 batches are left"),
}


@pytest.mark.parametrize("name", OTHER)
def test_going_on_with_other_data_is_refused(program, tmp_path, name):
    path = tmp_path / "cache"
    stop(program, path, 4)
    data, message = OTHER[name]
    with pytest.raises(UsageError, match=message):
        run(program, Calibrate(), context=settings(path, data()))


WHEN_COMPLETE = {
    "another": (lambda: changed(6), "of other calibration data: batch 6 is another"),
    "fewer": (lambda: batches(6)[:5], "of other calibration data: 5 of 6 batches are left"),
    "more": (lambda: batches(7), "data: there are more than the 6 batches that were counted"),
}


@pytest.mark.parametrize("name", WHEN_COMPLETE)
def test_a_complete_cache_of_other_data_is_refused(program, tmp_path, name):
    path = tmp_path / "cache"
    run(program, Calibrate(), context=settings(path))
    data, message = WHEN_COMPLETE[name]
    with pytest.raises(UsageError, match=message):
        run(program, Calibrate(), context=settings(path, data()))


def test_a_limit_of_batches_is_all_that_is_compared(program, tmp_path):
    path, pass_ = tmp_path / "cache", Calibrate(batches=5)
    first = run(program, pass_, context=settings(path))
    assert same(run(program, pass_, context=settings(path, changed(6))), first)


def test_other_example_inputs_are_refused(tmp_path):
    path = tmp_path / "cache"
    bare = settings(path)
    bare.calibration = None
    run(marked(conv(), batches()[0][0]), Calibrate(), context=bare)
    run(marked(conv(), batches()[0][0]), Calibrate(), context=bare)
    with pytest.raises(UsageError, match="of other calibration data: batch 1 is another"):
        run(marked(conv(), batches()[1][0]), Calibrate(), context=bare)


def test_the_file_is_whole_at_any_time(program, tmp_path):
    path = tmp_path / "cache"
    seen = []

    def watching():
        for batch in batches(3):
            if path.exists():
                with safe_open(str(path), framework="pt") as file:
                    seen.append(len(file.keys()))
            yield batch

    watched = settings(path)
    watched.calibration = watching
    run(program, Calibrate(method="percentile"), context=watched)
    assert len(seen) == 2 and set(seen) == {2 * 5}
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_a_cache_is_small(program, tmp_path):
    run(program, Calibrate(method="auto"), context=settings(tmp_path / "cache"))
    assert (tmp_path / "cache").stat().st_size < 2 * 40_000


DIFFERENT = {
    "method": (Calibrate(method="mse"), {}, "of another method: min-max, now mse"),
    "options": (Calibrate(batches=2), {}, "of other options: .*batches=None.* now .*batches=2"),
    "data": (Calibrate(), {"identity": "others"}, "of other calibration data$"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_cache_of_another_calibration_is_refused(program, tmp_path, name):
    path = tmp_path / "cache"
    run(program, Calibrate(), context=settings(path))
    pass_, more, message = DIFFERENT[name]
    with pytest.raises(UsageError) as caught:
        run(program, pass_, context=settings(path, **more))
    assert re.search(message, caught.value.what)
    assert f"rm {path}" in str(caught.value.hint)


def test_a_cache_of_other_weights_is_refused(program, tmp_path):
    path = tmp_path / "cache"
    run(program, Calibrate(), context=settings(path))
    other = conv()
    with torch.no_grad():
        other.weight[0, 0] += 1
    with pytest.raises(UsageError, match="of another program or other weights"):
        run(marked(other, batches()[0][0]), Calibrate(), context=settings(path))


@pytest.mark.parametrize("content", [b"", b"not one", None])
def test_a_damaged_cache_is_refused(program, tmp_path, content):
    path = tmp_path / "cache"
    if content is None:
        save_file({"a": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"the calibration cache '{path}'"):
        run(program, Calibrate(), context=settings(path))


def test_what_was_left_out_is_remembered(program, tmp_path):
    path, data = tmp_path / "cache", batches(6)
    data[1][0][0, 0, 0, 0] = torch.nan
    pass_ = Calibrate(nan="skip", method="auto")

    def stream():
        yield from data[:3]
        raise KeyboardInterrupt

    stopped = settings(path)
    stopped.calibration = stream
    with pytest.raises(KeyboardInterrupt):
        run(program, pass_, context=stopped)
    resumed = run(program, pass_, context=settings(path, data))
    good = [data[0], *data[2:]]
    assert same(resumed, run(program, Calibrate(method="auto"), context=context(good)))


class Stateless(Calibrator):
    """It has a range and no state."""

    name = "stateless"

    def observe(self, values):
        self.range = (float(values.min()), float(values.max()))

    def bounds(self):
        return self.range


@pytest.mark.parametrize("how", ["cache", "skip"])
def test_a_calibrator_without_a_state_says_so(program, tmp_path, how):
    made = settings(tmp_path / "cache") if how == "cache" else context(batches())
    made.calibrators["stateless"] = Stateless
    with pytest.raises(UsageError, match="'stateless' cannot be stopped and resumed"):
        nan = "skip" if how == "skip" else "refuse"
        run(program, Calibrate(method="stateless", nan=nan), context=made)
    made.calibration_cache = None
    run(program, Calibrate(method="stateless"), context=made)


def test_a_failing_run_leaves_the_cache_of_the_good_batches(program, tmp_path):
    path, data = tmp_path / "cache", batches(6)
    data[4][0][:] = torch.inf
    with pytest.raises(CheckError, match="calibration batch 5"):
        run(program, Calibrate(), context=settings(path, data))
    mended = run(program, Calibrate(), context=settings(path))
    assert same(mended, run(program, Calibrate(), context=context(batches(6))))
