"""Inputs of other sizes: what stays valid, and what is done where nothing does."""

from __future__ import annotations

import torch
from torch import nn

from rewrite import Context, capture
from rewrite.draws import check_inputs, other_sizes, runnable_inputs
from rewrite.interpret import run_float64
from rewrite.pipeline import run_passes

Dim = torch.export.Dim


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2


class Graph(nn.Module):
    """Edges index nodes: nodes must not become fewer."""

    def forward(self, nodes, edges):
        return torch.zeros_like(nodes).index_add(0, edges[1], nodes[edges[0]])


def graph_program():
    torch.manual_seed(0)
    nodes, edges = Dim("nodes", min=2, max=100), Dim("edges", min=2, max=500)
    example = (torch.randn(25, 4), torch.randint(0, 25, (2, 30)))
    example[1][:, 0] = 24
    return capture(Graph().eval(), example, ({0: nodes}, {1: edges}))


def shapes(inputs):
    return [list(tensor.shape) for tensor in inputs[0]]


def test_inputs_that_index_one_another_are_not_cut():
    program = graph_program()
    inputs, results, unseen = runnable_inputs(program, lambda i: run_float64(program, *i))
    assert [shapes(each) for each in inputs] == [[[25, 4], [2, 30]], [[26, 4], [2, 31]]]
    assert len(results) == 2
    assert unseen == ""
    assert not run_passes(program, [], Context()).warnings


def test_where_no_other_size_runs_it_is_said():
    program = graph_program()

    def only_the_example(inputs):
        if inputs[0][0].shape[0] != 25:
            raise IndexError("index out of range")
        return run_float64(program, *inputs)

    inputs, results, unseen = runnable_inputs(program, only_the_example)
    assert [shapes(each) for each in inputs] == [[[25, 4], [2, 30]]]
    assert len(results) == 1
    assert unseen == "IndexError: index out of range"


def test_a_file_is_run_at_both_ends_of_a_small_range():
    batch, tokens = Dim("batch", min=1, max=8), Dim("tokens", min=4, max=20)
    program = capture(Doubled().eval(), (torch.randn(4, 16, 3),), ({0: batch, 1: tokens},))
    assert [draw.label for draw in other_sizes(program)] == [
        "batch=3, tokens=17",
        "batch=5, tokens=17",
        "batch=1, tokens=4",
        "batch=8, tokens=20",
    ]


def test_sizes_are_larger_in_turns():
    batch, tokens = Dim("batch", min=2), Dim("tokens", min=2)
    program = capture(Doubled().eval(), (torch.randn(8, 64, 3),), ({0: batch, 1: tokens},))
    draws = list(other_sizes(program))
    assert [draw.label for draw in draws] == [
        "batch=3, tokens=65",
        "batch=9, tokens=17",
        "batch=2, tokens=2",
        "batch=2, tokens=256",
    ]
    assert [shapes(draw.inputs)[0][:2] for draw in draws] == [[3, 65], [9, 17], [2, 2], [2, 256]]
    instead = [draw.instead.label if draw.instead else None for draw in draws]
    assert instead == ["batch=9, tokens=65", "batch=9, tokens=65", None, "batch=8, tokens=256"]


def test_a_few_rows_are_run_on_the_way_to_the_end_of_a_large_range():
    batch, height, width = Dim("batch"), Dim("height", max=4096), Dim("width", max=50)
    program = capture(
        Doubled().eval(), (torch.randn(4, 20, 30, 3),), ({0: batch, 1: height, 2: width},)
    )
    assert [draw.label for draw in other_sizes(program)][-1] == "batch=2, height=80, width=50"


def test_the_far_end_of_many_rows_is_not_run():
    batch = Dim("batch", min=1, max=4096)
    program = capture(Doubled().eval(), (torch.randn(4, 3),), ({0: batch},))
    assert [draw.label for draw in other_sizes(program)] == ["batch=3", "batch=5", "batch=1"]


def test_fixed_sizes_have_no_other_draws():
    program = capture(Doubled().eval(), (torch.randn(4, 3),))
    assert list(other_sizes(program)) == []
    assert check_inputs(program) == [program.example]


def test_multiples_alone_are_drawn_by_what_they_are_multiples_of():
    width = Dim("w", min=1, max=64)
    program = capture(Doubled().eval(), (torch.randn(2, 24),), ({1: 8 * width},))
    assert [shapes(draw.inputs) for draw in other_sizes(program)] == [
        [[2, 32]],
        [[2, 8]],
        [[2, 96]],
    ]


def test_what_is_taken_once_more_is_a_little_smaller():
    torch.manual_seed(0)
    shares, ids, mask = torch.rand(3, 4), torch.randint(0, 9, (3,)), torch.tensor([1.0, 0.0, 1.0])
    rows = Dim("rows", min=2, max=64)

    class Three(nn.Module):
        def forward(self, shares, ids, mask):
            return shares * 2, ids + 1, mask - 1

    program = capture(Three().eval(), (shares, ids, mask), ({0: rows}, {0: rows}, {0: rows}))
    found = max((draw.inputs[0] for draw in other_sizes(program)), key=lambda each: len(each[0]))
    assert len(found[0]) > 3
    assert found[0].unique().numel() == found[0].numel()
    assert shares.min() * 0.5 < found[0].min() and found[0].max() <= shares.max()
    assert set(found[1].tolist()) <= set(ids.tolist()) and set(found[2].tolist()) <= {0.0, 1.0}
