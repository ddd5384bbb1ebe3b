"""docs/hooks.md names every hook with its signature, its example, and what it yields."""

import dataclasses
import inspect
import re
import textwrap

import pytest

from rewrite import (
    Calibrator,
    Context,
    Fault,
    Lowering,
    Model,
    Outcome,
    Pass,
    PassObserver,
    Preset,
    Target,
    hookspecs,
)

from .pages import DOCS

PAGE = DOCS / "hooks.md"
YIELDS = {
    "rewrite_passes": Pass,
    "rewrite_presets": Preset,
    "rewrite_models": Model,
    "rewrite_targets": Target,
    "rewrite_faults": Fault,
    "rewrite_lowerings": Lowering,
    "rewrite_calibrators": Calibrator,
    "rewrite_observers": PassObserver,
}


def section(title: str) -> str:
    parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (found,) = [part for part in parts if part.startswith(f"{title}\n")]
    return found


def fields(text: str) -> dict[str, str]:
    """Return the first cells of all tables by the name they begin with."""
    cells = re.findall(r"^\| `(\w+)([^`]*)` \|", text, re.MULTILINE)
    return {name: f"{name}{rest}".replace("\\|", "|") for name, rest in cells}


def plain(code: str) -> list[str]:
    """Return the lines of code as they are before formatting; a docstring cannot hold triple "."""
    return [line for line in code.replace("'''", '"""').splitlines() if line.strip()]


def public_names(descriptor: type) -> set[str]:
    names = {name for name in vars(descriptor) if not name.startswith("_")}
    names |= set(inspect.get_annotations(descriptor))
    return names - {n for n, v in vars(descriptor).items() if isinstance(v, classmethod)}


def test_every_hook_has_a_section_and_a_descriptor():
    titles = re.findall(r"^## (rewrite_\w+)$", PAGE.read_text(), re.MULTILINE)
    assert titles == hookspecs.hook_names() == list(YIELDS)


@pytest.mark.parametrize("hook", hookspecs.hook_names())
def test_the_signature_is_exact(hook):
    signature = str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")
    assert f"```text\n{hook}{signature}\n```" in section(hook)


@pytest.mark.parametrize("hook", hookspecs.hook_names())
def test_the_example_is_that_of_the_docstring(hook):
    _, _, code = (inspect.getdoc(getattr(hookspecs, hook)) or "").partition("Example:\n")
    (shown,) = re.findall(r"^```python\n(.*?)^```$", section(hook), re.DOTALL | re.MULTILINE)
    assert plain(shown) == plain(textwrap.dedent(code))


@pytest.mark.parametrize("hook", hookspecs.hook_names())
def test_every_field_of_the_descriptor_is_named(hook):
    assert public_names(YIELDS[hook]) - {"spec"} <= set(fields(section(hook)))


@pytest.mark.parametrize("hook", hookspecs.hook_names())
def test_types_and_defaults_are_those_of_the_code(hook):
    described = fields(section(hook))
    for name, annotation in inspect.get_annotations(YIELDS[hook]).items():
        kind = re.sub(r"^ClassVar\[(.*)\]$", r"\1", annotation)
        kind = kind.replace("Equivalence", 'Literal["exact", "approximate", "lossy"]')
        kind = kind.replace("field(default_factory=dict)", "")
        default = vars(YIELDS[hook]).get(name, dataclasses.MISSING)
        simple = default is None or isinstance(default, (str, int, float, tuple))
        shown = repr(default).replace("'", '"')
        assert described[name] == f"{name}: {kind}" + (f" = {shown}" if simple else "")


@pytest.mark.parametrize("hook", hookspecs.hook_names())
def test_signatures_of_methods_are_those_of_the_code(hook):
    described = fields(section(hook))
    for name, shown in described.items():
        value = vars(YIELDS[hook]).get(name)
        if "(" in shown and inspect.isfunction(value):
            assert shown == f"{name}{inspect.signature(value)}".replace("'", "")


@pytest.mark.parametrize("used", [Context, Outcome])
def test_what_a_pass_gets_and_gives_is_described(used):
    described = fields(section("rewrite_passes"))
    for field in dataclasses.fields(used):
        assert described[field.name] == f"{field.name}: {field.type}"
