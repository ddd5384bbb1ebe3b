"""Train the zoo's checkpoints anew: `python -m rewrite_zoo.train [NAME ...]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch
from torch.nn import functional

from . import checkpoints, families
from .family import Family, Recipe

REPORT_EVERY = 100


def train(family: Family) -> torch.nn.Module:
    """Return the family's module, trained by its recipe."""
    recipe = family.recipe
    torch.manual_seed(recipe.seed)
    module = family.build().train()
    optimizer = adamw(module, recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.15
    )
    batches = family.task.training_batches(recipe.batch_size, recipe.seed)
    running = 0.0
    for step in range(1, recipe.steps + 1):
        inputs, targets = next(batches)
        loss = functional.cross_entropy(
            module(*inputs).flatten(0, -2),
            targets.flatten(),
            label_smoothing=recipe.label_smoothing,
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running += loss.item()
        if step % REPORT_EVERY == 0:
            print(f"{family.name}  step {step}/{recipe.steps}  loss {running / REPORT_EVERY:.4f}")
            running = 0.0
    return module


def adamw(module: torch.nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and kernels, but no bias, norm or other vector."""
    decayed = [weight for weight in module.parameters() if weight.ndim > 1]
    others = [weight for weight in module.parameters() if weight.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": decayed}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=recipe.weight_decay,
    )


def renew(family: Family) -> None:
    """Train, store the weights, and record what the stored weights score."""
    start = time.perf_counter()
    module = train(family)
    seconds = time.perf_counter() - start
    checkpoints.save(family.name, module)
    entry = {
        "metrics": family.task.evaluate(family.load()),
        "baseline": family.task.baseline(),
        "parameters": sum(weight.numel() for weight in module.parameters()),
        "seed": family.recipe.seed,
        "train_seconds": round(seconds, 1),
    }
    checkpoints.write_record(family.name, entry)
    print(f"{family.name}  {entry}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Renew the named checkpoints, or all."""
    known = {family.name: family for family in families()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    names = parser.parse_args(arguments).names or list(known)
    for name in names:
        if name not in known:
            parser.error(f"no model {name!r}; there are {', '.join(known)}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in names:
        renew(known[name])


if __name__ == "__main__":
    main()
