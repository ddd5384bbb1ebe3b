"""Values of another type, and numbers no quantizer takes, are errors that name file and key."""

from __future__ import annotations

import pytest

from rewrite import Target, UsageError

SPEC = "[spec.activation]\n"


def read(text: str) -> Target:
    return Target.parse(f'name = "mine"\n{text}', "mine.toml").resolved({})


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ('opset = "20"', 'opset is "20", not a whole number', "opset = 20"),
        ("opset = true", "opset is true, not a whole number", None),
        ("opset = 20.0", "opset is 20.0, not a whole number", None),
        ("bias = 32", "bias is 32, not text", None),
        ('machines = "x86_64"', 'machines is "x86_64", not a list of', 'machines = ["x86_64"]'),
        ("rules = [1]", "rules is [1], not a list of text", None),
        (
            "opset-range = 17",
            "opset-range is 17, not a list of two whole numbers",
            "opset-range = [low, high]",
        ),
        ("spec = 3", "spec is 3, not a table", None),
        ("spec.activation = 3", "[spec.activation] is no table", None),
        (f'{SPEC}least-range = "wide"', '[spec.activation] least-range is "wide", not a', None),
        (f'{SPEC}zero-point = "3"', 'zero-point is "3", not a whole number', "zero-point = 3"),
        (f"{SPEC}symmetric = 1", "symmetric is 1, not true or false", "symmetric = true"),
        (f"{SPEC}range = [0, 1.5]", "range is [0, 1.5], not a list of two", "range = [low, high]"),
        ("[op.conv]\noutput = 1", "[op.conv] output is 1, not text", None),
        ("[op.conv]\ninputs = []", "[op.conv] inputs is [], not a table", None),
        ("[op.conv.inputs]\nweight = 8", "[op.conv.inputs] weight is 8, not text", None),
        ('[op.conv]\nleast-channels = "4"', 'least-channels is "4", not a', "least-channels = 4"),
    ],
)
@pytest.mark.parametrize("extends", ["", 'extends = "base"\n'])
def test_another_type(text, what, hint, extends):
    with pytest.raises(UsageError) as caught:
        Target.parse(f'name = "mine"\n{extends}{text}', "mine.toml")
    assert what in caught.value.what
    assert (caught.value.where, caught.value.hint) == ("mine.toml", hint)


def test_false_takes_out_what_is_inherited_and_nothing_else():
    text = "[producer]\nsoftmax = false"
    assert Target.parse(f'name = "mine"\nextends = "base"\n{text}', "mine.toml")
    with pytest.raises(UsageError, match=r"\[producer\] softmax is false, not text"):
        read(text)


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("opset-range = [21, 17]", "opset-range [21, 17] is empty", "opset-range = [17, 21]"),
        ("opset = 30", "opset 30 is not in opset-range [17, 21]", "change one of the two"),
        (f"{SPEC}scale = -0.5", "scale is -0.5", "scales are positive"),
        (f"{SPEC}scale = 0", "scale is 0", "scales are positive"),
        (f"{SPEC}scale = inf", "scale is inf", "scales are positive"),
        (f"{SPEC}zero-point = 300", "zero-point is 300", "it lies in the range, 0 to 255"),
        (f"{SPEC}range = [8, 9]\nscale = 1.0", "zero-point is 0", "in the range, 8 to 9"),
        (f"{SPEC}range = [255, 0]", "range [255, 0] does not fit uint8", "range = [0, 255]"),
        (f"{SPEC}range = [300, -5]", "range [300, -5] does not", "and low comes before high"),
        (f"{SPEC}qmin = 3", "qmin is set by range", "range = [low, high]"),
        (f"{SPEC}least-range = -1", "least-range is -1", "0 or wider"),
        ("[op.conv]\nleast-channels = -1", "least-channels of [op.conv] is negative", None),
        ("[op.conf]", "unknown kind of operator 'conf'", "did you mean 'conv'?"),
        (f'{SPEC}[producer]\nsoftmx = "activation"', "kind of operator 'softmx'", "'softmax'?"),
        ('absorbs = ["rleu"]', "unknown kind of operator 'rleu'", "did you mean 'relu'?"),
        ('fuses = ["sillu"]', "unknown kind of operator 'sillu'", "did you mean 'silu'?"),
        (
            f'{SPEC}[op.conv.inputs]\nwieght = "activation"',
            "unknown argument in [op.conv.inputs] 'wieght'",
            "did you mean 'weight'?",
        ),
    ],
)
def test_another_value(text, what, hint):
    with pytest.raises(UsageError) as caught:
        read(text)
    assert what in caught.value.what and caught.value.where == "mine.toml"
    assert caught.value.hint == hint if hint is None else hint in caught.value.hint


def test_values_that_fit():
    target = read(
        'opset = 19\nopset-range = [18, 19]\nmachines = ["x86_64"]\nabsorbs = ["relu"]\n'
        f"{SPEC}scale = 1\nzero-point = 255\nleast-range = 0.5\n"
        '[op.matmul.inputs]\nself = "activation"\nmat2 = "activation"\nother = "activation"\n'
        '[op.global-average-pool.inputs]\nself = "activation"\n'
    )
    assert (target.opset, target.opset_range, target.machines) == (19, (18, 19), ("x86_64",))
    assert target.spec("activation").zero_point == 255
