"""Builds PVTSeg: a PVTv2 encoder and a residual decoder of 64 channels.

Layer names are the published PyTorch module paths with dots written as underscores,
as in `models/pvt_v2.py`.
"""

from pathlib import Path

import keras

from models.batch_normalization import FusedBatchNormalization
from models.pvt_v2 import build_pvt_v2

DEFAULT_ENCODER = "pvt_v2_b3"
DECODER_CHANNELS = 64
TORCH_BN_EPSILON = 1e-5
TORCH_BN_MOMENTUM = 0.9  # PyTorch's 0.1 weighs the new batch, Keras's the old average


def build_pvtseg(
    input_shape: tuple[int | None, int | None, int] = (256, 256, 3),
    encoder_weights: str | Path | None = None,
    encoder: str = DEFAULT_ENCODER,
) -> keras.Model:
    """Builds the PVTSeg segmentation network.

    Args:
        input_shape: `(H, W, 3)`, H and W divisible by 32, or None.
        encoder_weights: None for random weights, or a `.weights.h5` of the encoder
            (see `build_pvt_v2`).
        encoder: `"pvt_v2_b0"` … `"pvt_v2_b5"`.

    Returns:
        Functional model, `(B, H, W, 3)` BGR in [0, 1] → `(B, H, W, 1)` float32
        probabilities. Its layer `y` gives the logits, its layer named after the
        encoder the feature maps. With b3, 45,306,945 parameters, all trainable, and
        2,432 moving averages of batch normalisation beside them.

    Raises:
        ValueError: for an unknown encoder, or weights that are missing or do not fit.
    """
    inputs = keras.Input(input_shape)
    features = build_pvt_v2(encoder, input_shape, encoder_weights)(inputs)
    skips = [
        conv_norm(x, 1, f"c{stage}_conv", 0, relu=True)
        for stage, x in enumerate(features, start=1)
    ]

    x = skips[3]  # (B, H/32, W/32, 64)
    for index, skip in enumerate((skips[2], skips[1], skips[0]), start=1):
        x = AlignCornersUpSampling2D(2, name=f"d{index}_up")(x)
        x = keras.layers.Concatenate(name=f"d{index}_concat")([x, skip])
        x = residual_block(x, f"d{index}_r1")
    x = AlignCornersUpSampling2D(4, name="d4_up")(x)  # (B, H, W, 64)
    x = residual_block(x, "d4_r1")
    x = residual_block(x, "r1")
    # float32 whatever the policy: probabilities near 0 and 1 feed a logarithm.
    logits = keras.layers.Conv2D(1, 1, dtype="float32", name="y")(x)
    outputs = keras.layers.Activation("sigmoid", dtype="float32", name="probability")(
        logits
    )
    return keras.Model(inputs, outputs, name="pvtseg")


def residual_block(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Adds two 3×3 convolutions beside a 1×1 shortcut, and ReLU after their sum.

    Args:
        x: `(B, H, W, C)`.
        name: the PyTorch module's name, with underscores.

    Returns:
        `(B, H, W, 64)`, non-negative.
    """
    y = conv_norm(x, 3, f"{name}_conv", 0, relu=True)
    y = conv_norm(y, 3, f"{name}_conv", 3)
    shortcut = conv_norm(x, 1, f"{name}_shortcut", 0)
    y = keras.layers.Add(name=f"{name}_add")([y, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu")(y)


def conv_norm(
    x: keras.KerasTensor, kernel: int, name: str, index: int, relu: bool = False
) -> keras.KerasTensor:
    """Adds a convolution to 64 channels and batch normalisation, then ReLU on request.

    Args:
        x: `(B, H, W, C)`.
        kernel: side of the convolution's kernel.
        name: the PyTorch `Sequential`'s name, with underscores.
        index: the convolution's place in it; the normalisation's is the next one.
        relu: whether a ReLU follows.

    Returns:
        `(B, H, W, 64)`.
    """
    x = keras.layers.Conv2D(
        DECODER_CHANNELS, kernel, padding="same", name=f"{name}_{index}"
    )(x)
    x = FusedBatchNormalization(
        momentum=TORCH_BN_MOMENTUM,
        epsilon=TORCH_BN_EPSILON,
        name=f"{name}_{index + 1}",
    )(x)
    return keras.layers.ReLU(name=f"{name}_{index + 2}")(x) if relu else x


@keras.saving.register_keras_serializable(package="polyp")
class AlignCornersUpSampling2D(keras.layers.Layer):
    """Bilinear upsampling that maps corner pixels onto corner pixels.

    What PyTorch calls `align_corners=True` and `keras.layers.UpSampling2D` lacks:
    output row i reads the input at row `i * (h - 1) / (h * factor - 1)`. Rows, then
    columns, are multiplied with a matrix of two non-zero weights per line.

    Args:
        factor: height and width are multiplied by this.

    Example:
        >>> x = keras.ops.reshape(keras.ops.array([0.0, 3.0]), (1, 1, 2, 1))
        >>> AlignCornersUpSampling2D(2)(x)[0, 0, :, 0]  # 0, 1, 2, 3
    """

    def __init__(self, factor: int, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        batch, height, width, channels = keras.ops.shape(inputs)
        rows = self._interpolation_matrix(height)
        columns = self._interpolation_matrix(width)
        x = keras.ops.reshape(inputs, (batch, height, -1))
        x = keras.ops.matmul(rows, x)  # (B, factor·h, w·C)
        x = keras.ops.reshape(x, (batch, height * self.factor, width, channels))
        return keras.ops.matmul(columns, x)

    def _interpolation_matrix(self, size):
        """`(factor·size, size)` in the compute dtype; `size` an int or a tensor."""
        output_size = size * self.factor
        output_row = keras.ops.arange(output_size, dtype="float32")[:, None]
        input_row = keras.ops.arange(size, dtype="float32")[None, :]
        scale = keras.ops.cast(size - 1, "float32") / keras.ops.cast(
            output_size - 1, "float32"
        )
        matrix = keras.ops.relu(1.0 - keras.ops.abs(output_row * scale - input_row))
        return keras.ops.cast(matrix, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        height, width = (
            side if side is None else side * self.factor for side in (height, width)
        )
        return batch, height, width, channels

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}
