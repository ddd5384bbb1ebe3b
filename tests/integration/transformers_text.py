"""Tiny random `transformers` models of text and sound, most with dynamic batch and sequence."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn
from torch.export import Dim

from .compiling import Made
from .transformers_parts import VOCABULARY, Inputs, case, made, sound, text

TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
}
DECODER = {**TEXT, "num_key_value_heads": 2, "use_cache": False}
SMALL = {"d_model": 32, "vocab_size": VOCABULARY}


def pairs(length: int = 5) -> Inputs:
    """Return ids for an encoder and for a decoder."""
    inputs, dynamic = text()
    inputs["decoder_input_ids"] = torch.randint(3, VOCABULARY, (2, length))
    dynamic["decoder_input_ids"] = {
        0: dynamic["input_ids"][0],
        1: Dim("decoded", max=64),
    }
    return inputs, dynamic


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
    case(
        "mistral",
        made("MistralForCausalLM", "MistralConfig", text, **DECODER),
        slow=True,
        like="llama",
    ),
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
    case("mamba", mamba, slow=True),
]
SOUND = [
    case("whisper-encoder", whisper_encoder, slow=True),
    case("wav2vec2", wav2vec2, slow=True),
]
