"""Builds PVTv2, the pyramid vision transformer encoder, b0–b5 (arXiv 2106.13797).

Feature maps stay `(B, H, W, C)` from end to end, so any height and width divisible
by 32 works, square or not, fixed or dynamic. A layer's name is the published
PyTorch module path with dots written as underscores (`block3.0.attn.q` →
`block3_0_attn_q`); `tools/convert_pth.py` relies on it.
"""

from dataclasses import dataclass
from pathlib import Path

import keras

from models.hdf5_files import encoder_file

# Encoder outputs: name of the layer that makes it, stride in pixels.
ENCODER_STRIDES = {"norm1": 4, "norm2": 8, "norm3": 16, "norm4": 32}

HEADS = (1, 2, 5, 8)
SR_RATIOS = (8, 4, 2, 1)  # spatial reduction of keys and values, by stage
DROP_PATH_RATE = 0.1  # of the last block; grows linearly over depth
BLOCK_NORM_EPSILON = 1e-6
TORCH_NORM_EPSILON = 1e-5  # PyTorch's default, left in embeddings and reduction
SQRT_HALF = 0.5**0.5


@dataclass(frozen=True)
class PVTv2Config:
    """Sizes of one variant, one entry per stage.

    Attributes:
        dims: channels.
        depths: transformer blocks.
        mlp_ratios: hidden channels of the MLP over `dims`.
    """

    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    mlp_ratios: tuple[int, int, int, int] = (8, 8, 4, 4)


_DIMS = (64, 128, 320, 512)
PVT_V2_VARIANTS = {
    "pvt_v2_b0": PVTv2Config((32, 64, 160, 256), (2, 2, 2, 2)),
    "pvt_v2_b1": PVTv2Config(_DIMS, (2, 2, 2, 2)),
    "pvt_v2_b2": PVTv2Config(_DIMS, (3, 4, 6, 3)),
    "pvt_v2_b3": PVTv2Config(_DIMS, (3, 4, 18, 3)),
    "pvt_v2_b4": PVTv2Config(_DIMS, (3, 8, 27, 3)),
    "pvt_v2_b5": PVTv2Config(_DIMS, (3, 6, 40, 3), mlp_ratios=(4, 4, 4, 4)),
}


def build_pvt_v2(
    variant: str,
    input_shape: tuple[int | None, int | None, int] = (256, 256, 3),
    weights: str | Path | None = None,
) -> keras.Model:
    """Builds a PVTv2 encoder.

    Args:
        variant: a key of `PVT_V2_VARIANTS`.
        input_shape: `(H, W, 3)`, H and W divisible by 32, or None.
        weights: None for random weights, or a `.weights.h5` of this encoder as
            `tools/convert_pth.py` makes it from the published ImageNet `.pth`.

    Returns:
        Functional model named after the variant with the outputs of
        `ENCODER_STRIDES`, in that order: `(B, H/stride, W/stride, dims[stage])`.

    Raises:
        ValueError: for an unknown variant, or weights that are missing or do not fit.
    """
    if variant not in PVT_V2_VARIANTS:
        raise ValueError(
            f"Argument `variant` must be one of {', '.join(PVT_V2_VARIANTS)}. "
            f"Received: variant={variant!r}"
        )
    config = PVT_V2_VARIANTS[variant]
    encoder = _build_encoder(config, input_shape, variant)
    if weights is not None:
        load_encoder_weights(encoder, weights)
    return encoder


def _build_encoder(config, input_shape, name):
    inputs = keras.Input(input_shape)
    last_block = sum(config.depths) - 1
    block = 0
    outputs = []
    x = inputs
    for stage, dim in enumerate(config.dims):
        x = patch_embedding(x, dim, first=stage == 0, name=f"patch_embed{stage + 1}")
        for index in range(config.depths[stage]):
            x = transformer_block(
                x,
                heads=HEADS[stage],
                sr_ratio=SR_RATIOS[stage],
                mlp_ratio=config.mlp_ratios[stage],
                drop_path=DROP_PATH_RATE * block / last_block,
                name=f"block{stage + 1}_{index}",
            )
            block += 1
        x = layer_norm(f"norm{stage + 1}")(x)
        outputs.append(x)
    return keras.Model(inputs, outputs, name=name)


def load_encoder_weights(encoder: keras.Model, path: str | Path) -> None:
    """Loads a converted ImageNet file into a PVTv2 encoder, in place.

    Args:
        encoder: the model `build_pvt_v2` returns.
        path: a Keras `.weights.h5` of the same variant.

    Raises:
        ValueError: when the file is missing, is no such file or does not fit.
    """
    path = Path(path)
    advice = (
        f"make one with: python -m tools.convert_pth {encoder.name}.pth "
        f"{encoder.name}.weights.h5"
    )
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"Encoder weights must be a .weights.h5, not {path}; {advice}")
    if not path.is_file():
        raise ValueError(f"Encoder weights file not found: {path}; {advice}")
    with encoder_file(path, encoder.name) as stored:
        # Beside the weights lie the states of drop path's random generators.
        sizes = [size for name, size in stored.items() if "seed_generator" not in name]
        # Keras itself would load a b3 file into b2 and leave out the rest.
        if sum(sizes) != encoder.count_params():
            raise ValueError(
                f"it holds {sum(sizes):,} weights, expected {encoder.count_params():,}"
            )
        encoder.load_weights(path)


def patch_embedding(
    x: keras.KerasTensor, dim: int, first: bool, name: str
) -> keras.KerasTensor:
    """Embeds overlapping patches: 7×7 stride 4 in the first stage, 3×3 stride 2 after.

    Args:
        x: `(B, H, W, C)`.
        dim: output channels.
        first: whether this is the first stage.
        name: the PyTorch module's name.

    Returns:
        `(B, H/4, W/4, dim)` for the first stage, else `(B, H/2, W/2, dim)`.
    """
    kernel, stride = (7, 4) if first else (3, 2)
    # PyTorch pads both sides equally; "same" would pad a stride-2 conv on one side.
    x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = convolution(dim, kernel, stride, name=f"{name}_proj")(x)
    return layer_norm(f"{name}_norm", TORCH_NORM_EPSILON)(x)


def transformer_block(
    x: keras.KerasTensor,
    heads: int,
    sr_ratio: int,
    mlp_ratio: int,
    drop_path: float,
    name: str,
) -> keras.KerasTensor:
    """Adds attention and an MLP, each normalised before and with a residual connection.

    Args:
        x: `(B, H, W, C)`.
        heads: attention heads.
        sr_ratio: keys and values come from a map this many times smaller.
        mlp_ratio: hidden channels of the MLP over C.
        drop_path: probability with which training drops a branch for a sample.
        name: the PyTorch module's name, with underscores.

    Returns:
        `(B, H, W, C)`.
    """
    y = layer_norm(f"{name}_norm1")(x)
    y = attention(y, heads, sr_ratio, f"{name}_attn")
    x = add_branch(x, y, drop_path, f"{name}_attn")
    y = layer_norm(f"{name}_norm2")(x)
    y = mlp(y, x.shape[-1] * mlp_ratio, f"{name}_mlp")
    return add_branch(x, y, drop_path, f"{name}_mlp")


def add_branch(
    x: keras.KerasTensor, branch: keras.KerasTensor, drop_path: float, name: str
) -> keras.KerasTensor:
    """Adds a residual branch, dropped whole per sample while training."""
    if drop_path > 0:
        branch = keras.layers.Dropout(
            drop_path, noise_shape=(None, 1, 1, 1), name=f"{name}_drop_path"
        )(branch)
    return keras.layers.Add(name=f"{name}_add")([x, branch])


def attention(
    x: keras.KerasTensor, heads: int, sr_ratio: int, name: str
) -> keras.KerasTensor:
    """Multi-head attention of every position over a spatially reduced map.

    Args:
        x: `(B, H, W, C)`, normalised.
        heads: number of heads; divides C.
        sr_ratio: kernel and stride of the reducing convolution; 1 for none.
        name: the PyTorch module's name, with underscores.

    Returns:
        `(B, H, W, C)`.
    """
    dim = x.shape[-1]
    query = dense(dim, f"{name}_q")(x)
    if sr_ratio > 1:
        x = convolution(dim, sr_ratio, sr_ratio, name=f"{name}_sr")(x)
        x = layer_norm(f"{name}_norm", TORCH_NORM_EPSILON)(x)
    key_value = dense(2 * dim, f"{name}_kv")(x)  # (B, H/sr, W/sr, 2C), keys first
    x = MapAttention(heads, name=f"{name}_map")([query, key_value])
    return dense(dim, f"{name}_proj")(x)


def mlp(x: keras.KerasTensor, hidden: int, name: str) -> keras.KerasTensor:
    """Two dense layers around a 3×3 depthwise convolution, which encodes position.

    Args:
        x: `(B, H, W, C)`, normalised.
        hidden: channels between the two dense layers.
        name: the PyTorch module's name, with underscores.

    Returns:
        `(B, H, W, C)`.
    """
    dim = x.shape[-1]
    x = dense(hidden, f"{name}_fc1")(x)
    x = keras.layers.DepthwiseConv2D(
        3,
        padding="same",
        depthwise_initializer=conv_initializer(),
        name=f"{name}_dwconv_dwconv",
    )(x)
    x = keras.layers.Activation(exact_gelu, name=f"{name}_act")(x)
    return dense(dim, f"{name}_fc2")(x)


@keras.saving.register_keras_serializable(package="polyp")
class MapAttention(keras.layers.Layer):
    """Scaled dot-product attention between two feature maps, without weights.

    Args:
        heads: number of heads; divides the query's channels.

    Call args:
        inputs: query map `(B, H, W, C)` and key-value map `(B, h, w, 2C)` whose first
            C channels are the keys.

    Returns:
        `(B, H, W, C)`. The softmax is taken in float32 whatever the policy.
    """

    def __init__(self, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, inputs):
        query, key_value = inputs
        batch, height, width, dim = keras.ops.shape(query)
        head_dim = dim // self.heads
        # Scaled before the product, so that float16 logits stay small.
        query = keras.ops.reshape(
            query * head_dim**-0.5, (batch, -1, self.heads, head_dim)
        )
        key_value = keras.ops.reshape(key_value, (batch, -1, 2 * self.heads, head_dim))
        key, value = keras.ops.split(key_value, 2, axis=2)  # (B, hw, heads, head_dim)
        # Flash attention on the GPU for the Keras backends that have it.
        mixed = keras.ops.dot_product_attention(query, key, value, scale=1.0)
        return keras.ops.reshape(mixed, (batch, height, width, dim))

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package="polyp")
def exact_gelu(x):
    """GELU by the error function, `x * Φ(x)`; fewer passes than `keras.ops.gelu`."""
    return x * (0.5 + 0.5 * keras.ops.erf(x * SQRT_HALF))


def convolution(filters, kernel, stride, name):
    return keras.layers.Conv2D(
        filters, kernel, stride, kernel_initializer=conv_initializer(), name=name
    )


def dense(units, name):
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    return keras.layers.Dense(units, kernel_initializer=initializer, name=name)


def layer_norm(name, epsilon=BLOCK_NORM_EPSILON):
    return keras.layers.LayerNormalization(epsilon=epsilon, name=name)


def conv_initializer():
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
