"""Architectures that nobody here wrote: compiled to int8, run on every runtime, agreeing."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")

from .compiling import Warnings, assert_holds, compile_case
from .transformers_images import VISION
from .transformers_more import MORE
from .transformers_text import LANGUAGE, SOUND


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, id=c.name, marks=c.marks) for c in (*LANGUAGE, *SOUND, *VISION, *MORE)],
)
def test_third_party_model_runs_in_int8(case, tmp_path):
    talk = Warnings()
    result = compile_case(case, tmp_path, talk=talk)
    true = ("not installed", *case.warned)
    assert not [text for text in talk.heard if not any(part in text for part in true)]
    assert result.as_json()["int8"]["eligible"] > 0
    assert_holds(case, result)
