from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewrite import UsageError
from rewrite.pass_spec import PassSpec, parse_passes

NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)
VALUES = st.text(string.ascii_letters + string.digits + ".+-_/", max_size=6)
SPECS = st.lists(st.builds(PassSpec, NAMES, st.dictionaries(NAMES, VALUES, max_size=3)), max_size=4)


def test_names_and_options():
    assert parse_passes("fold-batch-norm,quantize{bits=8,per-channel=no},tidy") == [
        PassSpec("fold-batch-norm"),
        PassSpec("quantize", {"bits": "8", "per-channel": "no"}),
        PassSpec("tidy"),
    ]


def test_spaces_around_anything_are_allowed():
    assert parse_passes(" a , b{ k = v , l = w } ") == [
        PassSpec("a"),
        PassSpec("b", {"k": "v", "l": "w"}),
    ]


def test_no_text_is_no_passes():
    assert parse_passes("") == []


def test_empty_braces_are_no_options():
    assert parse_passes("a{}") == [PassSpec("a")]


def test_a_value_may_hold_an_equals_sign():
    assert parse_passes("a{k=x=y}") == [PassSpec("a", {"k": "x=y"})]


@settings(deadline=None)
@given(SPECS)
def test_what_is_printed_can_be_read(specs):
    assert parse_passes(",".join(map(str, specs))) == specs


@pytest.mark.parametrize(
    ("text", "expected", "column"),
    [
        ("fold,,tidy", "a pass name", 6),
        (",fold", "a pass name", 1),
        ("fold,", "a pass name", 6),
        ("fold tidy", "','", 6),
        ("fold{bits=8", "a closing '}'", 5),
        ("fold{bits}", "option=value", 6),
        ("fold{a=1,b}", "option=value", 10),
        ("fold{a=1,a=2}", "option 'a' only once", 10),
        ("fold{=8}", "option=value", 6),
        ("fold}", "','", 5),
    ],
)
def test_an_error_points_at_the_column(text, expected, column):
    with pytest.raises(UsageError) as caught:
        parse_passes(text)
    assert f"expected {expected} at column {column}" in caught.value.what
    assert caught.value.where.splitlines()[0] == text
    shown = str(caught.value).splitlines()
    written, pointed = shown[1], shown[2]
    assert pointed.index("^") - written.index(text) == column - 1, str(caught.value)
