"""PVTSeg in PyTorch, the reference that the Keras network is compared with.

The encoder is PVTv2 of Hugging Face's transformers, which is independent of this
project; the decoder is written here from the published description. It needs the
packages of requirements-convert.txt.
"""

import torch
from torch import nn
from torch.nn import functional
from transformers import PvtV2Config, PvtV2Model

from models.pvt_v2 import HEADS, SR_RATIOS, PVTv2Config

CHANNELS = 64
EMBEDDING_EPSILON = 1e-5  # Hugging Face has 1e-6 in every LayerNorm

# Hugging Face's module names inside a block → the published ones.
_BLOCK_NAMES = {
    "layer_norm_1": "norm1",
    "layer_norm_2": "norm2",
    "attention.query": "attn.q",
    "attention.proj": "attn.proj",
    "attention.spatial_reduction": "attn.sr",
    "attention.layer_norm": "attn.norm",
    "mlp.dense1": "mlp.fc1",
    "mlp.dwconv.dwconv": "mlp.dwconv.dwconv",
    "mlp.dense2": "mlp.fc2",
}
_KEY_VALUE = ("attention.key", "attention.value")


class ConvNormReLU(nn.Module):
    """A 1×1 convolution to 64 channels, batch normalisation and ReLU."""

    def __init__(self, in_channels: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, CHANNELS, 1), nn.BatchNorm2d(CHANNELS), nn.ReLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Residual(nn.Module):
    """The residual block of the decoder: two 3×3 convolutions and a 1×1 shortcut."""

    def __init__(self, in_channels: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, CHANNELS, 3, padding=1),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.BatchNorm2d(CHANNELS),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, CHANNELS, 1), nn.BatchNorm2d(CHANNELS)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.conv(x) + self.shortcut(x))


class UpResidual(nn.Module):
    """Upsamples, joins the skip connection if there is one, then `Residual`."""

    def __init__(self, in_channels: int, factor: int):
        super().__init__()
        self.factor = factor
        self.r1 = Residual(in_channels)

    def forward(
        self, x: torch.Tensor, skip: torch.Tensor | None = None
    ) -> torch.Tensor:
        x = functional.interpolate(
            x, scale_factor=self.factor, mode="bilinear", align_corners=True
        )
        return self.r1(x if skip is None else torch.cat([x, skip], dim=1))


class TorchPVTSeg(nn.Module):
    """PVTSeg: `(B, 3, H, W)` → logits `(B, 1, H, W)` and the four encoder outputs.

    Args:
        config: the encoder's sizes.
    """

    def __init__(self, config: PVTv2Config):
        super().__init__()
        self.backbone = PvtV2Model(
            PvtV2Config(
                hidden_sizes=list(config.dims),
                depths=list(config.depths),
                mlp_ratios=list(config.mlp_ratios),
                num_attention_heads=list(HEADS),
                sr_ratios=list(SR_RATIOS),
                drop_path_rate=0.1,
            )
        )
        for name, module in self.backbone.named_modules():
            if name.endswith(("patch_embedding.layer_norm", "attention.layer_norm")):
                module.eps = EMBEDDING_EPSILON
        self.c1, self.c2, self.c3, self.c4 = (ConvNormReLU(d) for d in config.dims)
        self.d1, self.d2, self.d3 = (UpResidual(2 * CHANNELS, 2) for _ in range(3))
        self.d4 = UpResidual(CHANNELS, 4)
        self.r1 = Residual(CHANNELS)
        self.y = nn.Conv2d(CHANNELS, 1, 1)

    def forward(
        self, images: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        features = self.backbone(images, output_hidden_states=True).hidden_states
        skips = [self.c1, self.c2, self.c3, self.c4]
        c1, c2, c3, c4 = (c(x) for c, x in zip(skips, features, strict=True))
        x = self.d3(self.d2(self.d1(c4, c3), c2), c1)
        return self.y(self.r1(self.d4(x))), features


def published_shapes(model: TorchPVTSeg) -> dict[str, tuple[int, ...]]:
    """The keys of the published checkpoint and the shapes of their tensors."""
    shapes = {}
    for key, tensor in model.state_dict().items():
        published, part = _published_key(key)
        rows, *rest = tensor.shape or (None,)
        if part is not None:  # keys and values are one tensor there
            rows *= 2
        shapes[published] = () if rows is None else (rows, *rest)
    return shapes


def load_published(model: TorchPVTSeg, state: dict[str, torch.Tensor]) -> None:
    """Loads a state dict with the keys of the published checkpoint, in place."""
    own = {}
    for key in model.state_dict():
        published, part = _published_key(key)
        tensor = state[published]
        own[key] = tensor if part is None else tensor.chunk(2)[part]
    model.load_state_dict(own)


def _published_key(key: str) -> tuple[str, int | None]:
    """Translates one key of `TorchPVTSeg`.

    Returns:
        The published key, and which half of its tensor this is (keys 0, values 1) or
        None for all of it.
    """
    if not key.startswith("backbone."):
        return key, None
    _, _, _, layer, *path, parameter = key.split(".")
    stage = int(layer) + 1
    part = None
    if path[0] == "blocks":
        name = ".".join(path[2:])
        if name in _KEY_VALUE:
            module, part = "attn.kv", _KEY_VALUE.index(name)
        else:
            module = _BLOCK_NAMES[name]
        module = f"block{stage}.{path[1]}.{module}"
    elif path[0] == "patch_embedding":
        module = f"patch_embed{stage}.{path[1].removeprefix('layer_')}"
    else:
        module = f"norm{stage}"
    return f"backbone.{module}.{parameter}", part
