"""Control characters of somebody else's never reach the terminal, and JSON stays JSON."""

import json

import pytest

from rewrite.cli.output import say, show_json, show_table
from rewrite.errors import UsageError, one_line, printable

from .conftest import call

EVIL = "\x1b[2J\x07\r\x9b31m\u202egnp\udcff"
SPELLED = "\\x1b[2J\\x07\\r\\x9b31m\\u202egnp\\udcff"


def test_what_is_printed_is_spelled_out(capsys):
    say(f"a\tb\n{EVIL}")
    say(EVIL, err=True)
    show_table(["name"], [[EVIL]])
    out, err = capsys.readouterr()
    assert out == f"a\tb\n{SPELLED}\nname\n{SPELLED}\n"
    assert err == f"{SPELLED}\n"


def test_json_says_the_same_in_its_own_way(capsys):
    value = {"name": EVIL, EVIL: [EVIL, 1.5]}
    show_json(value)
    out = capsys.readouterr().out
    assert out.isprintable() or set(out) - set(map(chr, range(32, 127))) == {"\n"}
    assert json.loads(out) == value


def test_a_name_does_not_look_like_a_line_of_ours():
    error = UsageError(f"no file 'a\nwrote b'\n  {EVIL}", where="a\nb", hint="c\nd")
    assert str(error) == f"no file 'a\\nwrote b'\n  {SPELLED}\n  at: a\\nb\n  hint: c\\nd"


def test_text_for_people_stays_as_it_is():
    text = "25 µs → 3 × 4, Größe 図\ttab"
    assert printable(text) == text and one_line("a\nb") == "a\\nb"


@pytest.mark.parametrize("arguments", [["--target", EVIL], [f"{EVIL}.py"], [f"--{EVIL}"]])
def test_what_is_given_is_spelled_out(arguments, tiny):
    called = call(tiny, "--dry-run", *arguments) if len(arguments) > 1 else call(*arguments)
    assert called.code == 2
    assert "\x1b" not in called.err and "\\x1b[2J" in called.err
