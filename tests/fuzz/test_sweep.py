"""The sweep: it goes on where it stopped, and a process that dies takes one case along."""

from __future__ import annotations

import sys

from . import sweep as module
from .differential import AGREES, CRASH, REFUSED, Finding, kind_of
from .sweep import cases, key, read, sweep
from .table import table

WORKER = """
import json, os, sys
for line in sys.stdin:
    case = json.loads(line)
    if case["seed"] == 1:
        os._exit(3)
    print(json.dumps({**case, "outcome": "agrees"}), flush=True)
"""


def _todo(last=3):
    return list(cases(range(last + 1), ["ort-x64"], ["float"], every=False))


def _nothing(done, of, found):
    return None


def test_a_process_that_dies_is_a_crash_of_one_case(tmp_path, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    monkeypatch.setattr(module, "_COMMAND", [sys.executable, str(script)])
    found = {f.seed: f for f in sweep(_todo(), tmp_path / "results.jsonl", 1, _nothing)}
    assert [found[seed].outcome for seed in range(4)] == [AGREES, CRASH, AGREES, AGREES]
    assert found[1].reason == "the process died: 3"


def test_what_is_known_is_not_tried_again(tmp_path, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    monkeypatch.setattr(module, "_COMMAND", [sys.executable, str(script)])
    results = tmp_path / "results.jsonl"
    sweep(_todo(1), results, 1, _nothing)
    with results.open("a") as file:
        file.write('{"seed": 2, "tar')  # stopped in the middle of a line
    told = []
    sweep(_todo(3), results, 1, lambda done, of, found: told.append(found.seed))
    assert told == [2, 3]
    assert sorted(f.seed for f in read(results)) == [0, 1, 2, 3]


def test_pairs_take_turns():
    pairs = {
        key(case)[1:] for case in cases(range(20), ["ort-x64", "qnn"], ["float", "int8"], False)
    }
    assert pairs == {("ort-x64", "float"), ("ort-x64", "int8"), ("qnn", "int8")}


def test_reasons_that_differ_in_numbers_and_names_are_one_kind():
    left = kind_of(REFUSED, "agrees to 12.5 dB only in 'out_v1' on batch 4")
    assert left == kind_of(REFUSED, "agrees to 7.1 dB only in 'first' on batch 1")


def test_the_table_lists_what_is_wrong_and_why_the_rest_was_refused():
    findings = [
        Finding(0, "ort-x64", "float", AGREES, runs=7),
        Finding(1, "ort-x64", "float", REFUSED, "no translation for 'a'", "seed_1.py:12: v"),
        Finding(2, "ort-x64", "float", REFUSED, "no translation for 'b'"),
        Finding(3, "openvino", "int8", CRASH, "IndexError: oh"),
    ]
    text = table(findings, "python -m tests.fuzz")
    assert "| ort-x64 | float | 1 | 0 | 2 | 0 | 0 | 0 | 7 |" in text
    assert "| 2 | 1 | refused: no translation for '…' | seed 1, ort-x64, float |" in text
    assert "seed 3, openvino, int8: crash: IndexError: oh" in text
    assert "1 of 2 name a line" in text
