"""Talk on a terminal is live; elsewhere it is plain lines; stdout never gets any."""

import contextlib
import io
import warnings

import pytest

from rewrite import Outcome, Pass
from rewrite.cli.console import LiveTalk, PlainTalk, working
from rewrite.pipeline import PassReport


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def talked(monkeypatch):
    """Talk to a stream and return what arrived there."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def talk_to(stream, **options):
        with contextlib.redirect_stderr(stream), working(**options) as talk:
            talk.step("capture tiny")
            talk.progress("calibrate", 1, 4)
            talk.warn("look here")
            print("printed by the model file")
        return talk, stream.getvalue()

    return talk_to


def test_a_terminal_gets_a_live_line(talked):
    talk, text = talked(Terminal())
    assert isinstance(talk, LiveTalk)
    assert "\x1b[33mwarning: look here" in text
    assert "printed by the model file" in text


def test_no_color_means_no_colours(talked, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    _, text = talked(Terminal())
    assert "\x1b[33m" not in text
    assert "warning: look here" in text


def test_a_file_gets_plain_lines(talked):
    talk, text = talked(io.StringIO())
    assert isinstance(talk, PlainTalk)
    assert text == "capture tiny\nwarning: look here\nprinted by the model file\n"


def report(name, **outcome):
    def run(self, program, context):
        return Outcome()

    body = {"name": name, "equivalence": "exact", "run": run, "__doc__": "Be."}
    return PassReport(type("P", (Pass,), body)(), Outcome(**outcome), None, 0.5)


def test_passes_that_found_nothing_share_a_line():
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream), working() as talk:
        talk.step("capture tiny")
        talk.passed(report("first", nothing="the program has no relu"))
        talk.passed(report("second", nothing="every call is used"))
        talk.passed(report("third", rewrites=2))
        talk.passed(report("fourth", nothing="the program has no relu", notes=["look here"]))
        talk.passed(report("last", nothing="the program has no relu"))
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["capture tiny", "  nothing to do: first, second"]
    assert lines[2].startswith("  third ") and "2 rewrites" in lines[2]
    assert lines[3].endswith("(the program has no relu; look here)")
    assert lines[4:] == ["  nothing to do: last"]


def test_a_dumb_terminal_gets_plain_lines(talked, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in talked(Terminal())[1]


def test_quiet_says_nothing_itself(talked):
    assert talked(Terminal(), quiet=True)[1] == "printed by the model file\n"


def test_warnings_of_libraries_are_kept_away_unless_verbose():
    for verbose, count in ((False, 0), (True, 1)):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with working(quiet=True, verbose=verbose):
                warnings.warn("from the depths", FutureWarning, stacklevel=1)
        assert len(seen) == count
