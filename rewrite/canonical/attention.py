"""Attention written out as two products around a softmax is one operator."""

from __future__ import annotations

import torch
from torch import fx

from rewrite.canonical.attention_scores import Attention, Mask, read_attention
from rewrite.canonical.values import dtype, rank, same_shape, same_size, shape
from rewrite.emitter import Emitter
from rewrite.pattern import Match, Op
from rewrite.program import Program
from rewrite.rules import Reject, Rule

aten = torch.ops.aten


class EagerAttention(Rule):
    """softmax(c·q·kᵀ + m)·v = scaled_dot_product_attention(q, k, v, m, scale=c).

    A row whose scores are all -inf is NaN on the left and 0 on the right: neither is a mean of v.
    """

    pattern = Op(aten.matmul.default, "product")
    report_misses = False

    def check(self, match: Match, program: Program) -> Reject | str | None:
        """Decline what is no attention, what is read in between, and shapes that broadcast."""
        found = read_attention(match.root)
        if not isinstance(found, Attention):
            return found
        heads = shape(found.query)[:-2]
        if not same_shape(heads, shape(found.key_t)[:-2]):
            return Reject("queries and keys broadcast against each other", found.key_t)
        if not same_shape(shape(found.weights)[:-2], shape(found.value)[:-2]):
            return Reject("weights and values broadcast against each other", found.value)
        if rank(found.scores) < 3:
            return "its scores have no batch dimension"
        return self._check_masks(found)

    def _check_masks(self, found: Attention) -> Reject | None:
        for mask in found.masks:
            if rank(mask.node) < 2:
                return Reject("its mask has fewer than two dimensions", mask.node)
            if dtype(mask.node) != (torch.bool if mask.boolean else dtype(found.query)):
                return Reject(f"its mask is {dtype(mask.node)}", mask.node)
            if mask.boolean and (len(found.masks) > 1 or found.regroup):
                return Reject("it has a boolean mask and another one", mask.node)
            if found.regroup and not _regroups(mask, found):
                return Reject("its mask spans some of the dimensions that are regrouped", mask.node)
        return None

    def rewrite(self, match: Match, emit: Emitter) -> fx.Node:
        """Emit the attention, its inputs in the grouping in which the softmax ran."""
        found = read_attention(match.root)
        assert isinstance(found, Attention)
        like = match.root
        swapped = list(range(rank(found.key_t)))
        swapped[-1], swapped[-2] = swapped[-2], swapped[-1]
        key = emit.call(aten.permute.default, like=like, self=found.key_t, dims=swapped)
        query, value = found.query, found.value
        if found.regroup is not None:
            query = _reshape(emit, like, query, [*found.regroup[:-1], shape(query)[-1]])
            rows = [*found.regroup[:-2], found.regroup[-1]]
            key = _reshape(emit, like, key, [*rows, shape(key)[-1]])
        if found.regroup is not None and not same_shape(shape(query)[:-2], shape(value)[:-2]):
            value = _reshape(emit, like, value, [*rows, shape(value)[-1]])
        result = emit.call(
            aten.scaled_dot_product_attention.default,
            like=like,
            query=query,
            key=key,
            value=value,
            attn_mask=_mask(found, emit, like),
            scale=found.scale,
            val=None if found.regroup is not None else like.meta["val"],
        )
        if found.regroup_weights is not None:
            sizes = [*found.regroup_weights[:-1], shape(result)[-1]]
            result = _reshape(emit, like, result, sizes)
        return result


def _reshape(emit: Emitter, like: fx.Node, value: fx.Node, sizes: list[object]) -> fx.Node:
    return emit.call(aten.reshape.default, like=like, self=value, shape=sizes)


def _regroups(mask: Mask, found: Attention) -> bool:
    """Tell whether a mask fits the softmax's grouping, or can be reshaped to it."""
    if same_shape(shape(mask.added_to), shape(found.scores)):
        return True
    leading = shape(mask.node)[:-2]
    return all(same_size(s, 1) for s in leading) or same_shape(leading, shape(mask.added_to)[:-2])


def _mask(found: Attention, emit: Emitter, like: fx.Node) -> fx.Node | None:
    """Emit the sum of the masks, or the one boolean mask, True where attention is allowed."""
    total: fx.Node | None = None
    for mask in found.masks:
        node = mask.node
        if mask.boolean:
            return node if mask.keeps else emit.call(aten.logical_not.default, like=like, self=node)
        if found.regroup is not None and not same_shape(shape(mask.added_to), shape(found.scores)):
            node = _regrouped_mask(node, mask, found, emit, like)
        if mask.factor != 1:
            node = emit.call(aten.mul.Tensor, like=like, self=node, other=mask.factor)
        total = (
            node if total is None else emit.call(aten.add.Tensor, like=like, self=node, other=total)
        )
    return total


def _regrouped_mask(
    node: fx.Node, mask: Mask, found: Attention, emit: Emitter, like: fx.Node
) -> fx.Node:
    assert found.regroup is not None
    if all(same_size(s, 1) for s in shape(node)[:-2]):
        return node
    spread = [same_size(s, 1) for s in shape(node)[-2:]]
    last = [1 if one else size for one, size in zip(spread, found.regroup[-2:], strict=True)]
    return _reshape(emit, like, node, [*found.regroup[:-2], *last])
