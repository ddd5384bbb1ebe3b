"""The generator: a seed is a model, and the printed text is all of it."""

from __future__ import annotations

import torch

from .generate import generate
from .model_files import call, is_same, load_text
from .printing import print_model
from .registry import load
from .shrink import runs
from .spec import Spec

SEEDS = range(40, 60)


def test_a_seed_gives_the_same_model_each_time():
    for seed in SEEDS:
        assert generate(seed).as_text() == generate(seed).as_text()


def test_seeds_give_unlike_models():
    assert len({print_model(generate(seed)).split('"""', 2)[2] for seed in SEEDS}) == len(SEEDS)


def test_every_model_takes_all_of_its_inputs():
    assert all(runs(generate(seed)) for seed in SEEDS)


def test_a_spec_is_data():
    for seed in SEEDS:
        text = generate(seed).as_text()
        assert Spec.from_text(text).as_text() == text


def test_a_model_file_computes_the_same_each_time_it_is_loaded():
    for seed in SEEDS:
        text = print_model(generate(seed))
        first, second = load_text(text), load_text(text)
        torch.manual_seed(7)  # of no effect: the file seeds itself
        for (label, inputs), (_, again) in zip(first["others"](), second["others"](), strict=True):
            left, right = call(first["model"](), inputs), call(second["model"](), again)
            assert is_same(left, right), (seed, label)


def test_there_are_steps_of_every_group():
    groups = {step.group for seed in range(60) for step in generate(seed).steps}
    assert groups == set(load())
