"""Tiny random `transformers` models of images, with dynamic batch."""

from __future__ import annotations

import transformers as hf

from .compiling import Made
from .transformers_parts import case, image, made

IMAGE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
WINDOWS = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}
INSIDE = "OpenVINO adds the skip inside the convolution, without the rounding between"


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


VISION = [
    case("vit", made("ViTForImageClassification", "ViTConfig", image, **IMAGE)),
    case("deit", made("DeiTModel", "DeiTConfig", image, **IMAGE), slow=True, like="vit"),
    case("beit", made("BeitModel", "BeitConfig", image, **IMAGE), slow=True),
    case("dinov2", made("Dinov2Model", "Dinov2Config", image, **IMAGE), slow=True),
    case("clip-vision", made("CLIPVisionModel", "CLIPVisionConfig", image, **IMAGE), slow=True),
    case(
        "swin",
        made(
            "SwinForImageClassification",
            "SwinConfig",
            image,
            **WINDOWS,
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
    case("detr", detr, slow=True),
]
