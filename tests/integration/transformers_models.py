"""Tiny random `transformers` models, most with dynamic batch and sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from torch import nn
from torch.export import Dim

from .compiling import Case, Made

VOCABULARY = 99
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
}
DECODER = {**TEXT, "num_key_value_heads": 2, "use_cache": False}
IMAGE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
SMALL = {"d_model": 32, "vocab_size": VOCABULARY}
INSIDE = "OpenVINO adds the skip inside the convolution, without the rounding between"

Inputs = tuple[dict[str, Any], dict[str, Any]]


def text(mask: bool = True, **names: str) -> Inputs:
    """Return ids, and a mask that blanks two of them, with dynamic batch and sequence."""
    batch, tokens = Dim("batch", max=64), Dim("tokens", max=64)
    inputs = {"input_ids": torch.randint(3, VOCABULARY, (2, 7))}
    if mask:
        inputs["attention_mask"] = torch.ones(2, 7, dtype=torch.int64)
        inputs["attention_mask"][0, -2:] = 0
    return inputs, {name: {0: batch, 1: tokens} for name in inputs}


def pairs(length: int = 5) -> Inputs:
    """Return ids for an encoder and for a decoder."""
    inputs, dynamic = text()
    inputs["decoder_input_ids"] = torch.randint(3, VOCABULARY, (2, length))
    dynamic["decoder_input_ids"] = {
        0: dynamic["input_ids"][0],
        1: Dim("decoded", max=64),
    }
    return inputs, dynamic


def image(size: int = 32) -> Inputs:
    """Return two images, with dynamic batch."""
    pixels = {"pixel_values": torch.randn(2, 3, size, size)}
    return pixels, {"pixel_values": {0: Dim("batch", max=64)}}


def sound(name: str, *shape: int) -> Inputs:
    """Return two sounds, with dynamic batch."""
    return {name: torch.randn(2, *shape)}, {name: {0: Dim("batch", max=64)}}


def made(model: str, config: str, inputs: Callable[[], Inputs], **options: Any) -> Any:
    """Return a function that makes a model with its inputs."""

    def make() -> Made:
        settings = getattr(hf, config)(**options)
        return (getattr(hf, model)(settings), *inputs())

    return make


def whisper_encoder() -> Made:
    config = hf.WhisperConfig(
        **SMALL,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_mel_bins=16,
        max_source_positions=12,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    encoder: nn.Module = hf.WhisperModel(config).encoder
    return (encoder, *sound("input_features", 16, 24))


def mamba() -> Made:
    """The capture unrolls the tokens, so their number is fixed."""
    config = hf.MambaConfig(
        hidden_size=32,
        num_hidden_layers=2,
        state_size=8,
        vocab_size=VOCABULARY,
        use_cache=False,
    )
    inputs, dynamic = text(mask=False)
    return hf.MambaModel(config), inputs, {"input_ids": {0: dynamic["input_ids"][0]}}


def detr() -> Made:
    backbone = hf.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    config = hf.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=6,
    )
    return (hf.DetrModel(config), *image(64))


def wav2vec2() -> Made:
    options = {k: v for k, v in TEXT.items() if k != "max_position_embeddings"}
    config = hf.Wav2Vec2Config(
        **options,
        conv_dim=(16, 16),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
    )
    return (hf.Wav2Vec2Model(config), *sound("input_values", 400))


def case(name: str, make: Any, **known: Any) -> Case:
    return Case(name, make, **known)


LANGUAGE = [
    case("bert", made("BertModel", "BertConfig", text, **TEXT)),
    case(
        "roberta",
        made("RobertaModel", "RobertaConfig", text, **{**TEXT, "max_position_embeddings": 80}),
        slow=True,
    ),
    case(
        "distilbert",
        made(
            "DistilBertModel",
            "DistilBertConfig",
            text,
            dim=32,
            n_layers=2,
            n_heads=4,
            hidden_dim=64,
            vocab_size=VOCABULARY,
            max_position_embeddings=64,
        ),
        slow=True,
    ),
    case(
        "electra", made("ElectraModel", "ElectraConfig", text, **TEXT, embedding_size=16), slow=True
    ),
    case(
        "opt",
        made(
            "OPTForCausalLM",
            "OPTConfig",
            text,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            ffn_dim=64,
            vocab_size=VOCABULARY,
            max_position_embeddings=80,
            word_embed_proj_dim=32,
            use_cache=False,
        ),
    ),
    case(
        "gpt2",
        made(
            "GPT2LMHeadModel",
            "GPT2Config",
            text,
            n_embd=32,
            n_layer=2,
            n_head=4,
            vocab_size=VOCABULARY,
            n_positions=64,
            use_cache=False,
        ),
    ),
    case(
        "gpt-j",
        made(
            "GPTJForCausalLM",
            "GPTJConfig",
            text,
            n_embd=32,
            n_layer=2,
            n_head=4,
            rotary_dim=4,
            vocab_size=VOCABULARY,
            n_positions=64,
            use_cache=False,
        ),
        slow=True,
    ),
    case(
        "gpt-neox",
        made("GPTNeoXForCausalLM", "GPTNeoXConfig", text, **TEXT, use_cache=False),
        slow=True,
    ),
    case("llama", made("LlamaForCausalLM", "LlamaConfig", text, **DECODER)),
    case("qwen2", made("Qwen2ForCausalLM", "Qwen2Config", text, **DECODER)),
    case("mistral", made("MistralForCausalLM", "MistralConfig", text, **DECODER), slow=True),
    case("phi", made("PhiForCausalLM", "PhiConfig", text, **DECODER), slow=True),
    case("gemma", made("GemmaForCausalLM", "GemmaConfig", text, **DECODER, head_dim=8), slow=True),
    case(
        "falcon",
        made(
            "FalconForCausalLM",
            "FalconConfig",
            text,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            vocab_size=VOCABULARY,
            use_cache=False,
        ),
        slow=True,
    ),
    case(
        "bloom",
        made(
            "BloomForCausalLM",
            "BloomConfig",
            text,
            hidden_size=32,
            n_layer=2,
            n_head=4,
            vocab_size=VOCABULARY,
            use_cache=False,
        ),
    ),
    case(
        "t5-encoder",
        made(
            "T5EncoderModel", "T5Config", text, **SMALL, d_kv=8, d_ff=64, num_layers=2, num_heads=4
        ),
        slow=True,
    ),
    case(
        "t5",
        made(
            "T5Model",
            "T5Config",
            pairs,
            **SMALL,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            use_cache=False,
        ),
        slow=True,
    ),
    case(
        "bart",
        made(
            "BartModel",
            "BartConfig",
            pairs,
            **SMALL,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=64,
            use_cache=False,
        ),
        slow=True,
    ),
]
SOUND = [
    case("whisper-encoder", whisper_encoder, slow=True),
    case("wav2vec2", wav2vec2, slow=True),
]
VISION = [
    case("vit", made("ViTForImageClassification", "ViTConfig", image, **IMAGE)),
    case("deit", made("DeiTModel", "DeiTConfig", image, **IMAGE), slow=True),
    case("beit", made("BeitModel", "BeitConfig", image, **IMAGE), slow=True),
    case("dinov2", made("Dinov2Model", "Dinov2Config", image, **IMAGE), slow=True),
    case("clip-vision", made("CLIPVisionModel", "CLIPVisionConfig", image, **IMAGE), slow=True),
    case(
        "swin",
        made(
            "SwinForImageClassification",
            "SwinConfig",
            image,
            image_size=32,
            patch_size=2,
            embed_dim=16,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=4,
        ),
        slow=True,
    ),
    case(
        "convnext",
        made(
            "ConvNextForImageClassification",
            "ConvNextConfig",
            image,
            hidden_sizes=[16, 32],
            depths=[2, 2],
            num_stages=2,
        ),
    ),
    case(
        "resnet",
        made(
            "ResNetForImageClassification",
            "ResNetConfig",
            image,
            embedding_size=16,
            hidden_sizes=[16, 32],
            depths=[2, 2],
            layer_type="basic",
        ),
        lowest_sqnr={"openvino": (25.0, INSIDE)},
    ),
    case(
        "regnet",
        made(
            "RegNetForImageClassification",
            "RegNetConfig",
            image,
            embedding_size=16,
            hidden_sizes=[16, 32],
            depths=[1, 2],
            groups_width=8,
        ),
        slow=True,
    ),
    case(
        "mobilenet-v2",
        made(
            "MobileNetV2ForImageClassification",
            "MobileNetV2Config",
            image,
            depth_multiplier=0.35,
            image_size=32,
        ),
        slow=True,
    ),
    case(
        "efficientnet",
        made(
            "EfficientNetForImageClassification",
            "EfficientNetConfig",
            image,
            image_size=32,
            width_coefficient=0.25,
            depth_coefficient=0.25,
            hidden_dim=320,
        ),
        slow=True,
    ),
    case(
        "mobilevit",
        made(
            "MobileViTForImageClassification",
            "MobileViTConfig",
            image,
            image_size=32,
            hidden_sizes=[16, 24, 32],
            neck_hidden_sizes=[8, 8, 16, 16, 24, 32, 32],
            expand_ratio=2.0,
        ),
        slow=True,
    ),
    case(
        "segformer",
        made(
            "SegformerModel",
            "SegformerConfig",
            image,
            hidden_sizes=[16, 32],
            depths=[1, 1],
            num_encoder_blocks=2,
            num_attention_heads=[1, 2],
            sr_ratios=[2, 1],
            patch_sizes=[3, 3],
            strides=[2, 2],
            mlp_ratios=[2, 2],
            decoder_hidden_size=16,
        ),
        slow=True,
    ),
    case(
        "pvt",
        made(
            "PvtModel",
            "PvtConfig",
            image,
            image_size=32,
            num_encoder_blocks=2,
            depths=[1, 1],
            sequence_reduction_ratios=[2, 1],
            hidden_sizes=[16, 32],
            patch_sizes=[4, 2],
            strides=[4, 2],
            num_attention_heads=[1, 2],
            mlp_ratios=[2, 2],
        ),
        slow=True,
    ),
    case(
        "cvt",
        made(
            "CvtModel",
            "CvtConfig",
            image,
            patch_sizes=[3, 3],
            patch_stride=[2, 2],
            patch_padding=[1, 1],
            embed_dim=[16, 32],
            num_heads=[1, 2],
            depth=[1, 2],
            mlp_ratio=[2.0, 2.0],
            attention_drop_rate=[0.0, 0.0],
            drop_rate=[0.0, 0.0],
            drop_path_rate=[0.0, 0.0],
            qkv_bias=[True, True],
            cls_token=[False, True],
            qkv_projection_method=["dw_bn", "dw_bn"],
            kernel_qkv=[3, 3],
            padding_kv=[1, 1],
            stride_kv=[2, 2],
            padding_q=[1, 1],
            stride_q=[1, 1],
        ),
        slow=True,
    ),
    case(
        "poolformer",
        made(
            "PoolFormerModel",
            "PoolFormerConfig",
            image,
            hidden_sizes=[16, 32],
            depths=[1, 1],
            num_encoder_blocks=2,
            patch_sizes=[3, 3],
            strides=[2, 2],
            padding=[1, 1],
            mlp_ratio=2.0,
        ),
        slow=True,
    ),
    case(
        "levit",
        made(
            "LevitForImageClassification",
            "LevitConfig",
            lambda: image(64),
            image_size=64,
            hidden_sizes=[16, 24],
            num_attention_heads=[2, 2],
            depths=[1, 1],
            key_dim=[8, 8],
            attention_ratio=[2, 2],
            mlp_ratio=[2, 2],
            down_ops=[["Subsample", 8, 2, 4, 2, 2]],
        ),
        slow=True,
    ),
]
VISION.append(case("detr", detr, slow=True))
LANGUAGE.append(case("mamba", mamba, slow=True))
CASES = [*LANGUAGE, *SOUND, *VISION]
