"""The built-in presets."""

from __future__ import annotations

from rewrite import Preset

FLOAT = Preset(
    "float",
    passes=("fold-batch-norm", "remove-dead-code"),
    summary="Everything that is exact: the same numbers, faster.",
)
INT8 = Preset(
    "int8",
    passes=(
        "fold-batch-norm",
        "remove-dead-code",
        "expand-attention",
        "insert-quantizers",
        "correct-bias",
        "calibrate",
    ),
    summary="8-bit weights and activations where the target has kernels for them.",
)
INT4_WEIGHTS = Preset(
    "int4-weights",
    passes=("fold-batch-norm", "remove-dead-code", "quantize-weights"),
    summary="4-bit weights of linear layers, float activations: for language models.",
)
FLOAT16 = Preset(
    "float16",
    passes=("fold-batch-norm", "remove-dead-code", "expand-attention", "halve-floats"),
    summary="Half the size: weights are float16, computing too where the target has kernels.",
)
INT8_FLOAT16 = Preset(
    "int8-float16",
    passes=(*INT8.passes, "halve-floats"),
    summary="As int8, and what stays float is float16.",
)
ACADEMIC = Preset(
    "academic",
    passes=("remove-dead-code", "expand-attention", "insert-quantizers", "calibrate"),
    summary="8-bit quantization as in papers: nothing is folded. For --target academic.",
)
