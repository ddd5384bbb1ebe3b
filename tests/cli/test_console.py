"""Talk on a terminal is live; elsewhere it is plain lines; stdout never gets any."""

import contextlib
import io
import warnings

import pytest

from rewrite.cli.console import LiveTalk, PlainTalk, working


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
