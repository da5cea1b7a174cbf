"""Makes a network ready for use: takes images as they are read, and works faster.

`build_rgb_model` joins a network with the preparation of its input, and
`build_inference_model` rewrites the LGPS generator so that it computes the same
function with less work.

Each step of the rewrite is exact in real arithmetic. In float32, on 24 images of
Kvasir-SEG, the probabilities of the shipped weights lie within 7e-6 of the network's
in float64; those of the network itself within 1e-5.

1. Batch normalisation is affine, so it is folded into the convolution before it:
   `γ(Wx + b − μ)/σ + β = (γ/σ)W·x + γ(b − μ)/σ + β`.
2. A 1×1 convolution mixes channels and bilinear upsampling mixes positions, so the
   two commute. A decoder block's 1×1 convolutions of `concat[up(x), skip]` are
   therefore `up(W_x·x) + W_skip·skip + b`: the deep branch is convolved at a quarter
   of the positions and the concatenated map is never written.
3. For the same reason the last 1×1 convolution comes before the last upsampling,
   which then enlarges one channel instead of sixteen. On one channel bilinear
   upsampling is two small matrix products, `A·map·Bᵀ`, several times faster than the
   runtimes' interpolation of a single channel.

Arithmetic at 256×256, in millions of multiplications: step 2 saves 14.2, 12.6 and
12.6 of the blocks' 44.0, 54.5 and 67.1 in 1×1 convolutions, step 3 saves 0.8, together
6 % of the network's 660; the matrix products add 12.6, at full speed. Worth more are
the maps no longer written and read back, 17 MB in float32.

The main and the shortcut 1×1 convolution of a block read the same input and could be
merged into one of twice the width. That saves no multiplication, and the split behind
it costs a copy: 2–15 % slower in OpenVINO, ONNX Runtime and LiteRT. So they stay apart.
"""

import keras
import numpy as np

from models.checkpoints import Checkpoint
from models.lgps import DECODER_BLOCKS, ENCODER_NAME
from models.pvt_v2 import SQRT_HALF, exact_gelu

UPSAMPLING = 2
# erf(x) = x P(x²) / Q(x²) on [-4, 4], highest power first: Eigen's, for float32.
ERF_NUMERATOR = (
    *(-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06),
    *(-5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03),
    -1.60960333262415e-02,
)
ERF_DENOMINATOR = (
    *(-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03),
    *(-7.37332916720468e-03, -1.42647390514189e-02),
)


def build_rgb_model(
    checkpoint: Checkpoint,
    rewrite: bool = True,
    batch_size: int | None = None,
    dtype: str = "float32",
) -> keras.Model:
    """Joins a network with the preparation of its input.

    Args:
        checkpoint: the network, and how its input is prepared.
        rewrite: use the network's inference form.
        batch_size: fixed number of images, or None for any number.
        dtype: of the images, `"float32"` or `"uint8"`.

    Returns:
        `(B, H, W, 3)` RGB in [0, 255] → `(B, H, W, 1)` float32 probabilities, named
        as the checkpoint's model is.
    """
    shape = (*checkpoint.image_size, 3)
    images = keras.Input(shape, batch_size=batch_size, dtype=dtype, name="frame")
    inputs = checkpoint.convention.prepare(keras.ops.cast(images, "float32"))
    network = checkpoint.model
    if rewrite:
        network = build_inference_model(network)
    return keras.Model(images, network(inputs), name=checkpoint.name)


def build_inference_model(model: keras.Model) -> keras.Model:
    """Builds the inference form of a network.

    Args:
        model: an LGPS generator, with or without squeeze-and-excitation. Any other
            model is returned as it is: the runtimes fold its batch normalisation
            themselves.

    Returns:
        A model of the same input, output and values, with float32 weights of its own.

    Example:
        >>> generator = build_model("lgps")
        >>> build_inference_model(generator).count_params()
        1055969
    """
    if model.name != "lgps":
        return model
    inputs = keras.Input(model.input_shape[1:])
    encoder = _fold_encoder(model.get_layer(ENCODER_NAME))
    x, skip_2, skip_4, skip_8 = encoder(inputs)
    skips = (None, skip_8, skip_4, skip_2)
    for (name, _), skip in zip(DECODER_BLOCKS, skips, strict=True):
        x = _decoder_block(model, name, x, skip)
    last = model.get_layer("probability")
    logits = _upsample_map(_convolve(x, *last.get_weights()))  # (B, H, W, 1)
    return keras.Model(inputs, keras.ops.sigmoid(logits), name="lgps_inference")


def replace_erf(model: keras.Model) -> None:
    """Replaces a model's GELUs, in place, for runtimes without erf (LiteRT).

    Args:
        model: any model of this project; only PVTSeg has GELUs.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            replace_erf(layer)
        elif getattr(layer, "activation", None) is exact_gelu:
            layer.activation = rational_gelu


def rational_gelu(x):
    """`exact_gelu` in sums, products and a quotient; differs by 2e-6 at most."""
    scaled = keras.ops.clip(x * SQRT_HALF, -4.0, 4.0)
    square = scaled * scaled
    numerator = _polynomial(square, ERF_NUMERATOR)
    erf = scaled * numerator / _polynomial(square, ERF_DENOMINATOR)
    return x * (0.5 + 0.5 * erf)


def _polynomial(x, coefficients: tuple[float, ...]):
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def fold_norm(
    convolution: keras.layers.Layer, norm: keras.layers.BatchNormalization
) -> tuple[np.ndarray, np.ndarray]:
    """Folds a batch normalisation into the convolution before it.

    Args:
        convolution: an ordinary or a depthwise convolution, with or without bias.
        norm: the normalisation of its output.

    Returns:
        Kernel, shaped as the convolution's, and `(C,)` bias; float64, so that they
        are rounded once.
    """
    kernel, *bias = (w.astype(np.float64) for w in convolution.get_weights())
    gamma, beta, mean, variance = (w.astype(np.float64) for w in norm.get_weights())
    factor = gamma / np.sqrt(variance + norm.epsilon)
    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    kernel = kernel * (factor[:, None] if depthwise else factor)
    return kernel, (sum(bias) - mean) * factor + beta


def _fold_encoder(encoder: keras.Model) -> keras.Model:
    """Copies MobileNetV2 without its batch normalisations."""
    convolutions = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, convolutions):
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, x, *args, **kwargs):
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        return x if is_norm else layer(x, *args, **kwargs)

    folded = keras.models.clone_model(encoder, clone_function=clone, call_function=call)
    for layer in encoder.layers:
        if isinstance(layer, convolutions):  # Keras names two patterns of layers
            is_first = layer.name == "Conv1"
            norm = encoder.get_layer("bn_Conv1" if is_first else f"{layer.name}_BN")
            folded.get_layer(layer.name).set_weights(fold_norm(layer, norm))
    return folded


def _decoder_block(model: keras.Model, name: str, x, skip):
    """Residual SE block on `concat[up(x), skip]`, or on x when there is no skip."""

    def part(suffix: str) -> keras.layers.Layer:
        return model.get_layer(f"{name}_{suffix}")

    def pointwise(kernel: np.ndarray, bias: np.ndarray):
        if skip is None:
            return _convolve(x, kernel, bias)
        deep = x.shape[-1]
        enlarged = _upsample(_convolve(x, kernel[:, :, :deep]))
        return enlarged + _convolve(skip, kernel[:, :, deep:], bias)

    shortcut = pointwise(*fold_norm(part("shortcut"), part("shortcut_norm")))
    y = keras.ops.relu(pointwise(*fold_norm(part("conv1"), part("norm1"))))
    y = _convolve(y, *fold_norm(part("conv2"), part("norm2")))
    y = keras.ops.relu(y + shortcut)
    if not isinstance(model.get_layer(name), keras.layers.Multiply):  # without SE
        return y
    gate = keras.ops.mean(y, axis=(1, 2), keepdims=True)  # (B, 1, 1, C)
    for suffix, activation in (
        ("gate_reduce", keras.ops.relu),
        ("gate_expand", keras.ops.sigmoid),
    ):
        kernel, bias = part(suffix).get_weights()
        gate = activation(_convolve(gate, kernel[None, None], bias))
    return y * gate


def _convolve(x, kernel: np.ndarray, bias: np.ndarray | None = None):
    """Convolution layer with given weights, padding `same`."""
    layer = keras.layers.Conv2D(
        kernel.shape[-1], kernel.shape[:2], padding="same", use_bias=bias is not None
    )
    y = layer(x)
    layer.set_weights([kernel] if bias is None else [kernel, bias])
    return y


def _upsample(x):
    """Bilinear ×2, half-pixel: `(B, h, w, C)` → `(B, 2h, 2w, C)`."""
    if None not in x.shape[1:3]:
        return keras.layers.UpSampling2D(UPSAMPLING, interpolation="bilinear")(x)
    # Keras cannot trace bilinear resizing of an unknown size. Repeating each pixel and
    # blurring by (1, 2, 1) / 4 is the same, edges repeated.
    x = keras.layers.UpSampling2D(UPSAMPLING)(x)
    x = keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    blur = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
    channels = x.shape[-1]
    layer = keras.layers.DepthwiseConv2D(3, use_bias=False)
    y = layer(x)
    layer.set_weights([np.repeat(blur[..., None, None], channels, axis=2)])
    return y


def _upsample_map(x):
    """Bilinear ×2 of one channel: `(B, h, w, 1)` → `(B, 2h, 2w, 1)`."""
    height, width = x.shape[1:3]
    if None in (height, width):
        return _upsample(x)
    rows, columns = _bilinear_matrix(height), _bilinear_matrix(width)
    x = keras.ops.reshape(x, (-1, height, width))
    x = keras.ops.matmul(keras.ops.matmul(rows, x), columns.T)
    return keras.ops.reshape(x, (-1, *x.shape[1:], 1))


def _bilinear_matrix(size: int) -> np.ndarray:
    """`(2n, n)` matrix that doubles n samples the half-pixel way (edges repeated)."""
    source = (np.arange(UPSAMPLING * size) + 0.5) / UPSAMPLING - 0.5
    source = source.clip(0, size - 1)[:, None]
    return np.maximum(0, 1 - np.abs(source - np.arange(size))).astype(np.float32)
