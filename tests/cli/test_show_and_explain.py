"""show prints programs and diffs; explain prints reasons with the user's own lines."""

import pytest

from .conftest import call

BORDER = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(3)
        self.norm2 = nn.BatchNorm2d(3)
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.norm1.running_mean += 1
        self.norm2.running_mean += 1

    def forward(self, x):
        x = self.conv1(self.norm1(x))  # first
        return self.conv2(self.norm2(x.relu()))  # second


def model():
    return Net().eval()


def inputs():
    return (torch.ones(1, 3, 6, 6),)
"""


@pytest.fixture(scope="module")
def border(tmp_path_factory):
    """A model whose batch norms stand before padded convolutions."""
    path = tmp_path_factory.mktemp("border") / "border.py"
    path.write_text(BORDER)
    return path


def test_show_prints_the_program(tiny):
    called = call("show", tiny, "-q")
    assert called.out.startswith("program(%x: f32[batch, 1, 8, 8]):\n")
    assert "batch_norm(" in called.out
    assert called.out.endswith("\n")


def test_show_after_passes(tiny):
    value = call("show", tiny, "--passes", "fold-batch-norm", "--json", "-q").json
    assert "batch_norm(" not in value["program"]
    assert value["passes"][0]["rewrites"] == 1


def test_show_diff(tiny):
    lines = call("show", tiny, "--passes", "fold-batch-norm", "--diff", "-q").out.splitlines()
    assert lines[:2] == ["--- before", "+++ after"]
    assert sum(line.startswith("-  %") and "batch_norm(" in line for line in lines) == 1
    assert not any(line.startswith("+  %") and "batch_norm(" in line for line in lines)


def test_show_diff_of_nothing(tiny):
    called = call("show", tiny, "--passes", "remove-dead-code", "--diff", "-q")
    assert called.out == "the passes change nothing\n"


def test_explain_groups_places_by_reason_with_the_users_lines(border):
    called = call("explain", border, "--passes", "fold-batch-norm,remove-dead-code")
    assert called.code == 0
    lines = called.out.splitlines()
    assert lines[0] == "fold-batch-norm: 0 rewrites, 2 declined"
    places = [line.strip() for line in lines if f"{border}:" in line]
    assert [p.split(": ", 1)[1] for p in places] == [
        "x = self.conv1(self.norm1(x))  # first",
        "return self.conv2(self.norm2(x.relu()))  # second",
    ]
    assert any("border" in line for line in lines)


def test_explain_json_names_node_rule_and_line(border):
    value = call("explain", border, "--passes", "fold-batch-norm", "--json", "-q").json
    declined = value["passes"][0]["declined"]
    places = [place for group in declined for place in group["places"]]
    assert len(places) == 2
    assert {"node", "rule", "where"} == set(places[0])
    assert places[0]["where"].endswith(":16: x = self.conv1(self.norm1(x))  # first")


def test_explain_tells_the_note_of_a_pass_that_found_nothing(border):
    called = call("explain", border, "--passes", "expand-attention", "-q")
    assert called.out.splitlines() == [
        "expand-attention: 0 rewrites, 0 declined",
        "  note: the program has no scaled_dot_product_attention",
    ]


def test_explain_tells_what_the_layout_of_a_target_takes(border):
    called = call("explain", border, "--preset", "float", "--target", "ort-x64", "-q")
    assert called.code == 0, called.err
    text = called.out.partition("for the layout that target 'ort-x64' wants:")[2]
    assert "space-to-depth: " in text
    value = call("explain", border, "--passes", "fold-batch-norm", "--json", "-q").json
    assert value["legalize"][0]["name"] == "expand-attention"
