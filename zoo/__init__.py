"""Small trained models on real data: enough to measure what a pass costs, with no download."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rewrite.hookspecs import hookimpl

if TYPE_CHECKING:
    from rewrite.descriptors import Model

    from .family import Family


def families() -> tuple[Family, ...]:
    """Return every family of the zoo, in the order it is listed."""
    from . import bert, mobilenet, opt, repvgg, resnet, vit

    return (
        resnet.RESNET_DIGITS,
        mobilenet.MOBILENET_DIGITS,
        repvgg.REPVGG_DIGITS,
        vit.VIT_DIGITS,
        bert.BERT_DOCSTRINGS,
        opt.OPT_DOCSTRINGS,
    )


@hookimpl
def rewrite_models() -> Iterator[Model]:
    """Yield the zoo's models, reachable as `zoo:NAME`."""
    for family in families():
        yield family.descriptor()
