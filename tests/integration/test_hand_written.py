"""Nets of every kind: what is unsupported stays float with a reason, and the file agrees."""

from __future__ import annotations

import pytest

from .compiling import assert_holds, compile_case
from .nets import CASES
from .nets_more import MORE

FLOAT = {
    "odd-operators": "its weight is computed at run time, so it has no fixed scale per channel",
}
"""Why a layer of a net stays float."""
_NO_RULE = ("lstm", "gru", "recurrent", "embedding", "rnn")
"""Layers that the target has no rule for, by their operators."""


@pytest.mark.parametrize("case", [*CASES, *MORE], ids=lambda c: c.name)
def test_net_runs_in_int8(case, tmp_path):
    result = compile_case(case, tmp_path)
    assert result.as_json()["int8"]["eligible"] > 0
    assert_holds(case, result)
    placed = next(r for r in result.reports if r.pass_.name == "insert-quantizers")
    reasons = {r.reason for r in placed.outcome.rejected if not _is_counted_only(r)}
    assert reasons == ({FLOAT[case.name]} if case.name in FLOAT else set())


def _is_counted_only(rejection):
    """Tell whether a layer is one that no target quantizes: it is named, and that is all."""
    named = any(name in f"{rejection.node} {rejection.reason}" for name in _NO_RULE)
    return named and "has no rule for" in rejection.reason
