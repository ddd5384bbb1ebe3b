"""The architectures: tiny configs, and how many attentions each one has."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from torch import nn

from .transformers_models import IMAGE, Case, OneTensor, make, randomise

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
TEXT = {**SMALL, "vocab_size": 99, "max_position_embeddings": 40}
DECODER = {**TEXT, "num_key_value_heads": 2, "use_cache": False}
VISION = {**SMALL, "image_size": IMAGE, "patch_size": 8}


def _whisper_encoder(implementation: str) -> nn.Module:
    torch.manual_seed(0)
    config = hf.WhisperConfig(
        vocab_size=99, num_mel_bins=16, d_model=32, encoder_layers=2, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48,
        decoder_ffn_dim=48, max_source_positions=12, pad_token_id=0,
        attn_implementation=implementation,
    )  # fmt: skip
    encoder = hf.WhisperModel(config).encoder
    randomise(encoder)
    return OneTensor(encoder, "input_features", {"return_dict": False}).eval()


def _detr(implementation: str) -> nn.Module:
    torch.manual_seed(0)
    backbone = hf.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 24], depths=[1, 1], out_features=["stage2"]
    )
    config = hf.DetrConfig(
        backbone_config=backbone, d_model=32, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48,
        decoder_ffn_dim=48, num_queries=5, attn_implementation=implementation,
    )  # fmt: skip
    model = hf.DetrModel(config)
    randomise(model)
    return OneTensor(model, "pixel_values", {"return_dict": False}).eval()


def _case(
    name: str, model: str, config: str, inputs: str, attentions: int, *rest: Any, **options: Any
) -> Case:
    return Case(name, make(model, config, inputs, **options), inputs, attentions, *rest)


BOTH = ("sdpa", "eager")
"""Where the two differ in more than the attention itself: how masks, splits and norms meet it."""

CASES = [
    _case("bert", "BertModel", "BertConfig", "masked", 2, BOTH, **TEXT),
    _case("roberta", "RobertaModel", "RobertaConfig", "masked", 2, **TEXT),
    _case(
        "distilbert",
        "DistilBertModel",
        "DistilBertConfig",
        "masked",
        2,
        vocab_size=99,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=40,
    ),
    _case("electra", "ElectraModel", "ElectraConfig", "masked", 2, embedding_size=24, **TEXT),
    _case(
        "opt",
        "OPTModel",
        "OPTConfig",
        "masked",
        2,
        vocab_size=99,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=40,
        word_embed_proj_dim=32,
        use_cache=False,
    ),
    _case(
        "opt-post-norm",
        "OPTModel",
        "OPTConfig",
        "masked",
        2,
        vocab_size=99,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=40,
        word_embed_proj_dim=16,
        do_layer_norm_before=False,
        use_cache=False,
    ),
    _case(
        "gpt2",
        "GPT2Model",
        "GPT2Config",
        "masked",
        2,
        BOTH,
        vocab_size=99,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=40,
        use_cache=False,
    ),
    _case("gpt-neox", "GPTNeoXModel", "GPTNeoXConfig", "masked", 2, **TEXT, use_cache=False),
    _case("llama", "LlamaModel", "LlamaConfig", "masked", 2, BOTH, **DECODER),
    _case("qwen2", "Qwen2Model", "Qwen2Config", "masked", 2, **DECODER),
    _case("mistral", "MistralModel", "MistralConfig", "masked", 2, **DECODER),
    _case(
        "bloom",
        "BloomModel",
        "BloomConfig",
        "masked",
        2,
        vocab_size=99,
        hidden_size=32,
        n_layer=2,
        n_head=4,
        use_cache=False,
    ),
    _case(
        "t5-encoder",
        "T5EncoderModel",
        "T5Config",
        "masked",
        2,
        vocab_size=99,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
    ),
    _case(
        "t5-gated",
        "T5EncoderModel",
        "T5Config",
        "masked",
        2,
        vocab_size=99,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    ),
    _case(
        "bart",
        "BartModel",
        "BartConfig",
        "masked",
        6,
        vocab_size=99,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=40,
    ),
    _case("vit", "ViTModel", "ViTConfig", "image", 2, BOTH, **VISION),
    _case("deit", "DeiTModel", "DeiTConfig", "image", 2, **VISION),
    _case("beit", "BeitModel", "BeitConfig", "image", 2, **VISION, use_relative_position_bias=True),
    _case(
        "swin",
        "SwinModel",
        "SwinConfig",
        "image",
        4,
        BOTH,
        image_size=IMAGE,
        patch_size=2,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
    ),
    _case(
        "convnext",
        "ConvNextModel",
        "ConvNextConfig",
        "image",
        0,
        hidden_sizes=[16, 24, 32, 40],
        depths=[1, 1, 1, 1],
        image_size=IMAGE,
    ),
    _case("dinov2", "Dinov2Model", "Dinov2Config", "image", 2, mlp_ratio=2, **VISION),
    _case(
        "dinov2-swiglu",
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        "image",
        2,
        mlp_ratio=2,
        use_swiglu_ffn=True,
        **VISION,
    ),
    _case("clip-vision", "CLIPVisionModel", "CLIPVisionConfig", "image", 2, **VISION),
    _case(
        "resnet",
        "ResNetModel",
        "ResNetConfig",
        "image",
        0,
        embedding_size=16,
        hidden_sizes=[16, 24],
        depths=[1, 2],
        layer_type="bottleneck",
    ),
    _case(
        "mobilenet-v2",
        "MobileNetV2Model",
        "MobileNetV2Config",
        "image",
        0,
        image_size=IMAGE,
        depth_multiplier=0.35,
    ),
    _case(
        "segformer",
        "SegformerModel",
        "SegformerConfig",
        "image",
        4,
        num_encoder_blocks=2,
        depths=[2, 2],
        sr_ratios=[4, 1],
        hidden_sizes=[16, 32],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[2, 4],
        mlp_ratios=[2, 2],
    ),
    Case("whisper-encoder", _whisper_encoder, "mel", 2),
    _case(
        "wav2vec2",
        "Wav2Vec2Model",
        "Wav2Vec2Config",
        "audio",
        2,
        **SMALL,
        conv_dim=[16, 16],
        conv_stride=[5, 2],
        conv_kernel=[10, 3],
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    ),
    Case("detr", _detr, "image", 6),
]
