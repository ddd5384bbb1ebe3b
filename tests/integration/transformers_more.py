"""Tiny random `transformers` models that once could not be compiled, and what they share."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn

from .compiling import Made
from .transformers_images import IMAGE, WINDOWS
from .transformers_parts import VOCABULARY, Inputs, case, image, made, sound, text
from .transformers_text import DECODER, SMALL, TEXT, pairs

EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
TRANSLATOR = {
    **SMALL,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "use_cache": False,
}


def ids() -> Inputs:
    """Return ids with dynamic batch, for models whose code fixes the number of tokens."""
    inputs, dynamic = text(mask=False)
    return inputs, {"input_ids": {0: dynamic["input_ids"][0]}}


def masked_ids() -> Inputs:
    """Return ids and a mask with dynamic batch."""
    inputs, dynamic = text()
    return inputs, {name: {0: sizes[0]} for name, sizes in dynamic.items()}


def frames() -> Inputs:
    """Return two short videos, with dynamic batch."""
    _, dynamic = image()
    pixels = {"pixel_values_videos": torch.randn(2, 4, 3, 32, 32)}
    return pixels, {"pixel_values_videos": dynamic["pixel_values"]}


def rt_detr() -> Made:
    """The capture fixes the batch size: the code of the model does."""
    backbone = hf.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = hf.RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=32,
        encoder_in_channels=[8, 16, 16],
        encoder_ffn_dim=32,
        encoder_attention_heads=4,
        d_model=32,
        num_queries=6,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_n_points=2,
        num_labels=4,
        num_denoising=0,
    )
    inputs, _ = image(64)
    detector: nn.Module = hf.RTDetrForObjectDetection(config)
    return detector, inputs, {}


MORE = [
    case("albert", made("AlbertModel", "AlbertConfig", text, **TEXT, embedding_size=16), slow=True),
    case(
        "deberta-v3",
        made(
            "DebertaV2ForSequenceClassification",
            "DebertaV2Config",
            text,
            **TEXT,
            relative_attention=True,
            pos_att_type=["c2p", "p2c"],
            position_buckets=8,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
        ),
        slow=True,
    ),
    case(
        "xlnet",
        made(
            "XLNetModel",
            "XLNetConfig",
            masked_ids,
            vocab_size=VOCABULARY,
            d_model=32,
            n_layer=2,
            n_head=4,
            d_inner=64,
            use_mems_eval=False,
        ),
        slow=True,
        warned=("its number of tokens is fixed",),
    ),
    case(
        "biogpt",
        made(
            "BioGptForCausalLM",
            "BioGptConfig",
            text,
            **{**TEXT, "max_position_embeddings": 80},
            use_cache=False,
        ),
        slow=True,
    ),
    case(
        "m2m-100",
        made("M2M100Model", "M2M100Config", pairs, **TRANSLATOR),
        slow=True,
        like="bart",
    ),
    case("qwen3", made("Qwen3ForCausalLM", "Qwen3Config", text, **DECODER, head_dim=8), slow=True),
    case(
        "phi3",
        made("Phi3ForCausalLM", "Phi3Config", text, **DECODER, pad_token_id=0),
        slow=True,
        like="qwen3",
    ),
    case(
        "mixtral",
        made("MixtralForCausalLM", "MixtralConfig", text, **DECODER, **EXPERTS),
        slow=True,
    ),
    case(
        "mamba2",
        made(
            "Mamba2Model",
            "Mamba2Config",
            ids,
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_heads=8,
            head_dim=8,
            state_size=8,
            n_groups=1,
            chunk_size=4,
            use_cache=False,
        ),
        slow=True,
    ),
    case(
        "hubert",
        made(
            "HubertModel",
            "HubertConfig",
            lambda: sound("input_values", 400),
            **{k: v for k, v in TEXT.items() if k != "max_position_embeddings"},
            conv_dim=(16, 16),
            conv_stride=(5, 2),
            conv_kernel=(10, 3),
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=4,
        ),
        slow=True,
        like="wav2vec2",
    ),
    case(
        "bit",
        made(
            "BitForImageClassification",
            "BitConfig",
            image,
            embedding_size=8,
            hidden_sizes=[8, 16, 16, 32],
            depths=[1, 1, 1, 1],
            num_groups=4,
        ),
        slow=True,
        min_sqnr=0.0,
    ),
    case(
        "swin-v2",
        made(
            "Swinv2ForImageClassification",
            "Swinv2Config",
            image,
            **WINDOWS,
        ),
        slow=True,
    ),
    case("dinov3", made("DINOv3ViTModel", "DINOv3ViTConfig", image, **IMAGE), slow=True),
    case(
        "v-jepa-2",
        made(
            "VJEPA2Model",
            "VJEPA2Config",
            frames,
            hidden_size=36,
            num_hidden_layers=1,
            num_attention_heads=3,
            patch_size=8,
            crop_size=32,
            frames_per_clip=4,
            tubelet_size=2,
            pred_hidden_size=36,
            pred_num_attention_heads=3,
            pred_num_hidden_layers=1,
            pred_num_mask_tokens=2,
            mlp_ratio=2,
        ),
        slow=True,
    ),
    case("rt-detr", rt_detr, slow=True),
]
