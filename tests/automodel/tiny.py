"""Every architecture of `transformers.AutoModel`, made tiny from its default configuration."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn
from torch.export import Dim
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from tests.integration.compiling import randomise

VOCABULARY = 99
IMAGE = 32
LARGEST = 20_000_000
"""Parameters: what stays larger than this is left out."""

_WIDTH, _HEADS, _DEPTH = 32, 4, 2
_SIZES: dict[str, int] = {
    **dict.fromkeys(
        [
            "hidden_size",
            "d_model",
            "embed_dim",
            "n_embd",
            "dim",
            "encoder_hidden_dim",
            "hidden_dim",
            "projection_dim",
            "word_embed_proj_dim",
            "encoder_hidden_size",
            "decoder_hidden_size",
            "cross_attention_hidden_size",
            "fpn_feature_size",
            "mask_feature_size",
            "conv_dim",
            "output_hidden_size",
            "embedding_size",
            "text_embed_dim",
        ],
        _WIDTH,
    ),
    **dict.fromkeys(
        [
            "num_attention_heads",
            "n_head",
            "n_heads",
            "num_heads",
            "encoder_attention_heads",
            "decoder_attention_heads",
            "attention_heads",
            "num_key_value_heads",
            "multi_query_group_num",
        ],
        _HEADS,
    ),
    **dict.fromkeys(
        [
            "num_hidden_layers",
            "n_layer",
            "n_layers",
            "num_layers",
            "encoder_layers",
            "decoder_layers",
            "num_encoder_layers",
            "num_decoder_layers",
            "num_blocks",
            "depth",
        ],
        _DEPTH,
    ),
    **dict.fromkeys(
        [
            "intermediate_size",
            "d_ff",
            "encoder_ffn_dim",
            "decoder_ffn_dim",
            "ffn_dim",
            "n_inner",
            "dim_feedforward",
            "moe_intermediate_size",
            "shared_expert_intermediate_size",
            "d_inner",
            "ffn_hidden_size",
            "feed_forward_hidden_size",
            "mlp_dim",
        ],
        64,
    ),
    **dict.fromkeys(["head_dim", "d_kv", "attention_head_size", "kv_channels"], 8),
    **dict.fromkeys(["vocab_size", "text_vocab_size"], VOCABULARY),
    **dict.fromkeys(
        [
            "max_position_embeddings",
            "n_positions",
            "max_seq_len",
            "max_source_positions",
            "max_target_positions",
            "n_ctx",
            "sliding_window",
            "local_attention",
            "attention_window",
        ],
        64,
    ),
    "image_size": IMAGE,
    "patch_size": 8,
    "num_frames": 4,
    **dict.fromkeys(["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"], 4),
    **dict.fromkeys(["num_experts_per_tok", "moe_k"], 2),
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "state_size": 8,
    "num_queries": 6,
    "rotary_dim": 8,
}
_STAGES = ("hidden_sizes", "embed_dims", "depths")
"""Lists, one number a stage: the width of what is made of stages follows from them."""
_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
_OFF = {"use_cache": False, "return_dict": True, "attn_implementation": "eager"}


@dataclass(frozen=True)
class Tiny:
    """A model and the ways in which it may be called, the first with most that is dynamic."""

    model: nn.Module
    inputs: dict[str, Tensor]
    axes: dict[str, dict[int, str]]
    """By input, the name of each axis that may differ: `batch` or `tokens`."""

    def resized(self, batch: int, tokens: int) -> dict[str, Tensor]:
        """Return new inputs of these sizes."""
        return {
            name: self._resize(name, value, batch, tokens) for name, value in self.inputs.items()
        }

    def _resize(self, name: str, value: Tensor, batch: int, tokens: int) -> Tensor:
        wanted = {"batch": batch, "tokens": tokens}
        shape = [
            wanted[self.axes[name][axis]] if axis in self.axes[name] else size
            for axis, size in enumerate(value.shape)
        ]
        return _draw(name, shape, value)

    def has(self, called: str) -> bool:
        """Tell whether an axis is called so."""
        return any(called in axes.values() for axes in self.axes.values())

    def dims(self, names: tuple[str, ...]) -> dict[str, dict[int, Any]]:
        """Return dynamic shapes of the axes that are called so."""
        dims = {name: Dim(name, max=48) for name in names}
        return {
            name: {axis: dims[called] for axis, called in axes.items() if called in dims}
            for name, axes in self.axes.items()
        }


def architectures() -> list[str]:
    """Return the model types that AutoModel knows, in order of the alphabet."""
    return sorted(set(MODEL_MAPPING_NAMES) & set(CONFIG_MAPPING_NAMES))


def make(kind: str) -> Tiny:
    """Return a tiny model of a type, with inputs that it takes.

    Raises:
        LookupError: it cannot be made tiny, or takes none of the inputs that are tried.
    """
    torch.manual_seed(0)
    model, config = _built(kind)
    randomise(model.eval())
    failures: list[str] = []
    for inputs, axes in _calls(model, config):
        try:
            with torch.no_grad():
                copy.deepcopy(model)(**{name: value.clone() for name, value in inputs.items()})
        except Exception as error:  # of whatever the model does with what it is not made for
            failures.append(f"{'+'.join(inputs)}: {type(error).__name__}: {str(error)[:80]}")
            continue
        return Tiny(model, inputs, axes)
    raise LookupError(failures[0] if failures else "no inputs are known for it")


def tiny(config: Any) -> Any:
    """Make a configuration and those inside of it small, where they name their sizes so."""
    staged = any(isinstance(getattr(config, name, None), list) for name in _STAGES)
    for name in list(vars(config)) + list(getattr(config, "attribute_map", ())):
        value = getattr(config, name, None)
        if isinstance(value, hf.PretrainedConfig):
            tiny(value)
        elif staged and name == "hidden_size":
            continue
        elif name in ("rope_parameters", "rope_scaling") and isinstance(value, dict):
            _fit_rotation(value)
        elif name in _SIZES and isinstance(value, int) and not isinstance(value, bool):
            setattr(config, name, min(value, _SIZES[name]))
        elif name in _TOKENS and isinstance(value, int) and value >= VOCABULARY:
            setattr(config, name, 1)
        elif name in ("depths", "layers") and isinstance(value, (list, tuple)):
            setattr(config, name, type(value)(1 for _ in value))
        elif name in _OFF and value is not None:
            setattr(config, name, _OFF[name])
        elif name == "layer_types" and isinstance(value, list):
            setattr(config, name, _few(value))
    if hasattr(config, "use_cache"):
        config.use_cache = False
    return config


def _fit_rotation(rope: dict[str, Any]) -> None:
    """Let the parts of a head that are rotated by rows, columns and time add up to a half."""
    for part in (rope, *(value for value in rope.values() if isinstance(value, dict))):
        if "mrope_section" in part:
            part["mrope_section"] = [2, 1, 1]


def _few(kinds: list[str]) -> list[str]:
    """Return one layer of each kind, as many as are made."""
    distinct = list(dict.fromkeys(kinds))
    return (distinct * _DEPTH)[: max(_DEPTH, len(distinct))][:_DEPTH]


def _built(kind: str) -> tuple[nn.Module, Any]:
    try:
        config = tiny(hf.AutoConfig.for_model(kind))
        with torch.device("meta"):
            size = sum(p.numel() for p in hf.AutoModel.from_config(config).parameters())
        if size > LARGEST:
            raise LookupError(f"{size / 1e6:.0f} million parameters are left of it")
        return hf.AutoModel.from_config(config), config
    except LookupError:
        raise
    except Exception as error:  # of configurations whose sizes do not fit one another
        raise LookupError(f"cannot be made: {type(error).__name__}: {str(error)[:80]}") from error


def _calls(
    model: nn.Module, config: Any
) -> Iterator[tuple[dict[str, Tensor], dict[str, dict[int, str]]]]:
    known = inspect.signature(model.forward).parameters
    main = getattr(model, "main_input_name", "input_ids")
    if "input_ids" in known:
        yield from _texts(known)
    if {"input_ids", "pixel_values"} <= set(known):
        yield from _pairs(known, config)
    names = [main] if isinstance(main, str) else list(main)
    for name in dict.fromkeys((*names, *known)):
        for shape in _shapes(name, config):
            yield {name: _draw(name, shape)}, {name: {0: "batch"}}


def _pairs(
    known: Any, config: Any
) -> Iterator[tuple[dict[str, Tensor], dict[str, dict[int, str]]]]:
    """Yield a text with an image: two axes of their own but for the batch."""
    vision = getattr(config, "vision_config", config)
    for shape in _shapes("pixel_values", vision):
        for text, axes in _texts(known):
            inputs = {**text, "pixel_values": _draw("pixel_values", shape)}
            yield inputs, {**axes, "pixel_values": {0: "batch"}}


def _texts(known: Any) -> Iterator[tuple[dict[str, Tensor], dict[str, dict[int, str]]]]:
    sets = (
        ("input_ids", "attention_mask", "decoder_input_ids"),
        ("input_ids", "attention_mask"),
        ("input_ids", "decoder_input_ids"),
        ("input_ids",),
        ("input_ids", "bbox", "attention_mask"),
    )
    for names in sets:
        if set(names) <= set(known):
            shapes = {name: [2, 7, 4] if name == "bbox" else [2, 7] for name in names}
            inputs = {name: _draw(name, shape) for name, shape in shapes.items()}
            yield inputs, {name: {0: "batch", 1: "tokens"} for name in names}


def _shapes(name: str, config: Any) -> list[list[int]]:
    size = getattr(config, "image_size", None)
    size = size if isinstance(size, int) else IMAGE
    channels = getattr(config, "num_channels", 3)
    mel = getattr(config, "num_mel_bins", 80)
    tried = {
        "pixel_values": [
            [2, channels, size, size],
            [2, 4, 3, size, size],
            [2, 3, 64, 64],
            [2, 3, 4, size, size],
        ],
        "pixel_values_videos": [[2, 4, 3, size, size]],
        "input_values": [[2, 4000], [2, 1, 4000], [2, getattr(config, "max_length", 64), mel]],
        "input_features": [[2, mel, 128], [2, 64, mel], [2, 1, 64, mel], [2, mel, 3000]],
        "past_values": [
            [2, getattr(config, "context_length", 64), getattr(config, "num_input_channels", 1)]
        ],
        "inputs": [[2, 7, getattr(config, "d_model", _WIDTH)]],
    }
    return [shape for shape in tried.get(name, []) if all(isinstance(n, int) for n in shape)]


def _draw(name: str, shape: list[int], like: Tensor | None = None) -> Tensor:
    if name == "bbox":
        return torch.randint(0, 50, shape).sort(-1).values
    if name.endswith("input_ids"):
        return torch.randint(3, VOCABULARY, shape)
    if name == "attention_mask":
        mask = torch.ones(shape, dtype=torch.int64)
        mask[0, -2:] = 0
        return mask
    return torch.randn(shape, dtype=like.dtype if like is not None else torch.float32)
