"""A busy machine is told before anything is timed."""

import os

from rewrite.busy import busy


def test_a_load_above_the_processors_is_told(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (5.1, 0.0, 0.0))
    assert busy().startswith("the machine is busy (load 5.1 on 2 processors)")
    monkeypatch.setattr(os, "getloadavg", lambda: (2.3, 9.0, 9.0))
    assert busy() == ""


def test_where_nobody_knows_nothing_is_said(monkeypatch):
    monkeypatch.delattr(os, "getloadavg")
    assert busy() == ""
