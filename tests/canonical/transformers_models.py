"""Tiny random `transformers` models: architectures nobody here wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch import nn
from torch.export import Dim

BATCH, TOKENS, IMAGE = 3, 7, 32
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
TEXT = {**SMALL, "vocab_size": 99, "max_position_embeddings": 40}
DECODER = {**TEXT, "num_key_value_heads": 2, "use_cache": False}
VISION = {**SMALL, "image_size": IMAGE, "patch_size": 8}


@dataclass(frozen=True)
class Case:
    """One architecture and what its canonical form must show."""

    name: str
    build: Callable[[str], nn.Module]
    """Makes the model, given the attention implementation."""
    inputs: str
    attentions: int
    implementations: tuple[str, ...] = ("eager",)


class OneTensor(nn.Module):
    """Calls a model with given switches and returns its first output."""

    def __init__(self, model: nn.Module, argument: str, switches: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.argument, self.switches = model, argument, switches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.model(**{self.argument: x}, **self.switches)
        return result[0]


class Masked(nn.Module):
    """As OneTensor, with a padding mask."""

    def __init__(self, model: nn.Module, switches: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.switches = model, switches

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **self.switches)[0]


def _make(model: str, config: str, inputs: str, **options: Any) -> Callable[[str], nn.Module]:
    def build(implementation: str) -> nn.Module:
        torch.manual_seed(0)
        settings = getattr(hf, config)(**options, attn_implementation=implementation)
        network = getattr(hf, model)(settings)
        randomise(network)
        switches: dict[str, Any] = {"return_dict": False}
        if "use_cache" in options or model in ("BartModel", "T5EncoderModel"):
            switches["use_cache"] = False
        if model == "T5EncoderModel":
            switches.pop("use_cache")
        if inputs == "masked":
            return Masked(network, switches).eval()
        argument = {"text": "input_ids", "image": "pixel_values"}.get(inputs, "input_features")
        if inputs == "audio":
            argument = "input_values"
        return OneTensor(network, argument, switches).eval()

    return build


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


def randomise(model: nn.Module) -> None:
    """Give norms and biases values other than their neutral ones."""
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if not value.is_floating_point() or "inv_freq" in name:
                continue
            if name.endswith(("running_var",)) or ("norm" in name.lower() and "weight" in name):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias")) or "lambda" in name:
                value.normal_(0, 0.3)


def example(kind: str) -> dict[str, torch.Tensor]:
    """Return the example inputs of a kind of model."""
    generator = torch.Generator().manual_seed(1)
    if kind in ("text", "masked"):
        ids = torch.randint(3, 99, (BATCH, TOKENS), generator=generator)
        if kind == "text":
            return {"x": ids}
        mask = torch.ones(BATCH, TOKENS, dtype=torch.int64)
        mask[1, TOKENS - 2 :] = 0
        return {"input_ids": ids, "attention_mask": mask}
    shapes = {"image": (BATCH, 3, IMAGE, IMAGE), "mel": (BATCH, 16, 24), "audio": (BATCH, 400)}
    return {"x": torch.randn(shapes[kind], generator=generator)}


def dynamic(kind: str) -> dict[str, dict[int, Any]]:
    """Return the dynamic dimensions of a kind of model: batch, and tokens of a text."""
    batch, tokens = Dim("batch", min=1, max=64), Dim("tokens", min=3, max=32)
    if kind == "text":
        return {"x": {0: batch, 1: tokens}}
    if kind == "masked":
        return {"input_ids": {0: batch, 1: tokens}, "attention_mask": {0: batch, 1: tokens}}
    return {"x": {0: batch}}


def _case(
    name: str, model: str, config: str, inputs: str, attentions: int, *rest: Any, **options: Any
) -> Case:
    return Case(name, _make(model, config, inputs, **options), inputs, attentions, *rest)


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
