"""The names that the inliner would give, found faster."""

from __future__ import annotations

from onnx_ir.passes.common import inliner

from rewrite.lowering.unique_names import unique_names

TAKEN = ("relu", "relu_2", "relu_4", "val_3", "relu_2_2")
ASKED = ("relu", "val", "relu", "relu_2", "val", "relu", "relu_2", "new", "relu_3", "val", "relu")


def named() -> list[str]:
    one, other = set(TAKEN), {"relu"}
    return [
        *(inliner._make_unique_name(name, [], one) for name in ASKED),
        *(inliner._make_unique_name(name, [], other) for name in ASKED),
    ]


def test_names_are_those_of_the_inliner():
    plain = inliner._make_unique_name
    expected = named()
    with unique_names():
        assert inliner._make_unique_name is not plain
        assert named() == expected
    assert inliner._make_unique_name is plain


def test_no_name_is_tried_twice():
    class Counted(set):
        asked = 0

        def __contains__(self, name):
            self.asked += 1
            return super().__contains__(name)

    used = Counted()
    with unique_names():
        for _ in range(500):
            inliner._make_unique_name("relu", [], used)
    assert len(used) == 500
    assert used.asked <= 1000


def test_another_function_of_the_name_is_left_alone(monkeypatch):
    def other(name):
        return name

    monkeypatch.setattr(inliner, "_make_unique_name", other)
    with unique_names():
        assert inliner._make_unique_name is other
