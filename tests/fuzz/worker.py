"""Tries cases that come as lines of JSON, and answers with lines of JSON; may die of one."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from rewrite.plugin_host import PluginHost
from rewrite.quantization.costs import CostTable
from rewrite.target import Target

from .differential import attempt
from .generate import generate
from .printing import print_model


class NoCosts(PluginHost):
    """Its targets have no costs: of models as small as these, nothing is worth quantizing."""

    def find_target(self, name: str) -> Target:
        return replace(super().find_target(name), costs=CostTable())


def main() -> None:
    """Read cases until there are no more."""
    torch.set_num_threads(1)
    # Runtimes print what they like: answers have a way out of their own.
    answers = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    hosts = [PluginHost(), NoCosts(), NoCosts()]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for line in sys.stdin:
            case = json.loads(line)
            spec = generate(case["seed"])
            path = Path(folder) / f"seed_{case['seed']}.py"
            path.write_text(print_model(spec))
            # Pairs of target and preset go by the seed too; its tens are another number.
            host = hosts[case["seed"] // 10 % len(hosts)]
            found = attempt(path, case["target"], case["preset"], host, case["seed"])
            found.ops = spec.ops
            answers.write(json.dumps(found.as_json()) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
