"""The canonical form of a captured program. Every step is a rule like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rewrite.canonical.activations import ACTIVATION_RULES
from rewrite.canonical.aliases import ALIAS_RULES
from rewrite.canonical.attention import EagerAttention
from rewrite.canonical.batch_norm import BATCH_NORM_RULES
from rewrite.canonical.casts import CAST_RULES
from rewrite.canonical.common_calls import merge_common_calls
from rewrite.canonical.complex_pairs import COMPLEX_RULES
from rewrite.canonical.constant_fold import fold_constants
from rewrite.canonical.einsum import EINSUM_RULES
from rewrite.canonical.fused_linear import FusedLinear
from rewrite.canonical.gelu import GELU_RULES
from rewrite.canonical.grouped_products import name_grouped_products
from rewrite.canonical.joins import JOIN_RULES
from rewrite.canonical.layer_norm import LAYER_NORM_RULES
from rewrite.canonical.linear import LINEAR_RULES
from rewrite.canonical.masks import MASK_RULES
from rewrite.canonical.no_ops import drop_no_ops
from rewrite.canonical.overloads import OVERLOAD_RULES
from rewrite.canonical.padding import NamedPadding, PaddedConv
from rewrite.canonical.permutes import PERMUTE_RULES
from rewrite.canonical.pooling import POOLING_RULES
from rewrite.canonical.rms_norm import RMS_NORM_RULES
from rewrite.canonical.sizes import SIZE_RULES
from rewrite.canonical.sorting import SORT_RULES
from rewrite.canonical.symbolic_scalars import SYMBOLIC_SCALAR_RULES
from rewrite.canonical.views import VIEW_RULES

if TYPE_CHECKING:
    from collections.abc import Collection

    from rewrite.program import Program
    from rewrite.rules import Rule

_MOST_ROUNDS = 4
"""One rewrites nearly everything, the next finds what that made possible."""


def layout_rules() -> list[Rule]:
    """Return the rules that leave one name and one overload for each operation."""
    families = (
        ALIAS_RULES,
        BATCH_NORM_RULES,
        OVERLOAD_RULES,
        CAST_RULES,
        COMPLEX_RULES,
        JOIN_RULES,
        VIEW_RULES,
        PERMUTE_RULES,
        SIZE_RULES,
        SORT_RULES,
        SYMBOLIC_SCALAR_RULES,
    )
    return [NamedPadding(), *(rule for rules in families for rule in rules)]


def idiom_rules() -> list[Rule]:
    """Return the rules that recognise an operation written out by hand.

    Linear comes before attention and folding, so that a transposed weight is not taken for a
    product's factor or stored once more; layer norm before RMS norm, which it contains.
    """
    return [
        *EINSUM_RULES,
        *LINEAR_RULES,
        FusedLinear(),
        EagerAttention(),
        *GELU_RULES,
        *ACTIVATION_RULES,
        *LAYER_NORM_RULES,
        *RMS_NORM_RULES,
        *MASK_RULES,
        PaddedConv(),
        *POOLING_RULES,
    ]


def canonicalise(program: Program, written: Collection[str] = ()) -> None:
    """Bring a captured program into canonical form.

    Args:
        program: changed in place.
        written: names of buffers that the model writes, which are no constants.
    """
    from rewrite.rules import apply_rules

    for _ in range(_MOST_ROUNDS):
        before = program.version
        drop_no_ops(program)
        name_grouped_products(program)
        apply_rules(program, layout_rules())
        merge_common_calls(program)
        apply_rules(program, idiom_rules())
        fold_constants(program, written)
        if program.version == before:
            break
