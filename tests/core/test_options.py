from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from rewrite import UsageError, option
from rewrite.options import OptionInfo, build, describe_options, option_values


@dataclass(frozen=True)
class Knobs:
    bits: int = option(8, help="Bits of a weight.", low=2, high=8)
    share: float = option(0.5, help="Share of the channels.", low=0.0, high=1.0)
    per_channel: bool = option(True, help="One scale per channel.")
    method: Literal["mse", "entropy"] = option("mse", help="How to choose the scale.")
    skip: tuple[str, ...] = option((), help="Modules to leave alone.")
    limit: int | None = option(None, help="At most so many.", low=1)
    hidden: int = 3


def make(**given):
    return build(Knobs, "knobs", given)


def test_options_are_described_in_order():
    infos = describe_options(Knobs)
    assert [i.name for i in infos] == ["bits", "share", "per-channel", "method", "skip", "limit"]
    assert infos[0] == OptionInfo("bits", "int", 8, "Bits of a weight.", 2, 8)
    types = [i.type for i in infos]
    assert types == ["int", "float", "bool", "mse|entropy", "str+…", "int|none"]


def test_a_class_that_is_no_dataclass_has_no_options():
    assert describe_options(int) == []


def test_text_is_converted_by_annotation():
    text = {
        "bits": "4",
        "share": "0.25",
        "per-channel": "no",
        "method": "entropy",
        "skip": "head+norm",
        "limit": "7",
    }
    made = build(Knobs, "knobs", text)
    assert made == Knobs(4, 0.25, False, "entropy", ("head", "norm"), 7)
    assert option_values(made) == {
        "bits": 4,
        "share": 0.25,
        "per-channel": False,
        "method": "entropy",
        "skip": ("head", "norm"),
        "limit": 7,
    }


def test_typed_values_are_taken_as_they_are():
    assert make(bits=4, per_channel=False, limit=None, skip=["a"]) == Knobs(
        4, per_channel=False, skip=("a",)
    )


def test_none_is_a_value_of_an_optional_option():
    assert make(limit="none").limit is None


def test_no_options_gives_the_defaults():
    assert make() == Knobs()


@pytest.mark.parametrize("value", ["1", "9", 9])
def test_a_number_out_of_range_is_refused(value):
    with pytest.raises(UsageError) as caught:
        make(bits=value)
    assert caught.value.what == f"{value} is out of range"
    assert caught.value.where == f"knobs{{bits={value}}}"
    assert caught.value.hint == "allowed: 2 to 8"


def test_one_sided_ranges_are_said_in_words():
    with pytest.raises(UsageError) as caught:
        make(limit="0")
    assert caught.value.hint == "allowed: at least 1"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_float_that_is_no_number_is_out_of_range(value):
    with pytest.raises(UsageError, match="out of range"):
        make(share=value)


@pytest.mark.parametrize(("given", "kind"), [({"bits": "four"}, "int"), ({"share": "x"}, "float")])
def test_a_value_of_the_wrong_type_is_refused(given, kind):
    with pytest.raises(UsageError, match=f"is not a value of type {kind}"):
        make(**given)


def test_a_fraction_is_no_integer():
    with pytest.raises(UsageError, match=r"'4.5' is not a value of type int"):
        make(bits=4.5)


def test_a_word_that_is_no_truth_value_is_refused():
    with pytest.raises(UsageError, match="'maybe' is neither true nor false"):
        make(per_channel="maybe")


def test_a_choice_gets_a_suggestion():
    with pytest.raises(UsageError) as caught:
        make(method="entrop")
    assert caught.value.hint == "did you mean 'entropy'?"


def test_an_unknown_option_gets_a_suggestion_and_the_command_that_lists_them():
    with pytest.raises(UsageError) as caught:
        build(Knobs, "knobs", {"per-chanel": "yes"})
    assert caught.value.what == "unknown option of 'knobs' 'per-chanel'"
    assert caught.value.hint == "did you mean 'per-channel'? (rewrite passes knobs)"


def test_a_field_that_is_no_option_cannot_be_set():
    with pytest.raises(UsageError, match="unknown option"):
        make(hidden=4)
