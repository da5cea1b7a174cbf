"""Builds the LGPS generator: a MobileNetV2 encoder and a residual SE decoder.

It consists of standard Keras layers in the published topology and creation order, so
that whole-model `.h5` files load in both directions: legacy HDF5 files match layers by
order, not by name.
"""

import warnings
from pathlib import Path

import h5py
import keras

from models.hdf5_files import encoder_file

ENCODER_NAME = "encoder"
# Encoder features in the published output order: layer, stride, channels.
ENCODER_FEATURES = (
    ("block_13_expand_relu", 16, 576),
    ("block_1_expand_relu", 2, 96),
    ("block_3_expand_relu", 4, 144),
    ("block_6_expand_relu", 8, 192),
)
# The residual SE blocks, in order: the last layer of each, and its stride.
DECODER_BLOCKS = (
    ("bottleneck", 16),
    ("decoder_8", 8),
    ("decoder_4", 4),
    ("decoder_2", 2),
)
BLOCK_FILTERS = (576, 256, 128, 64)
RESIDUAL_REDUCTION = 4
SE_REDUCTION = 16

DOWNLOAD_ADVICE = (
    "use --encoder_weights none to start from random weights, or "
    "--encoder_weights FILE for a local MobileNetV2 weights file"
)


def build_lgps(
    input_shape: tuple[int | None, int | None, int] = (256, 256, 3),
    encoder_weights: str | None = None,
    use_se: bool = True,
) -> keras.Model:
    """Builds the LGPS segmentation network.

    Args:
        input_shape: `(H, W, 3)`, H and W divisible by 16, or None.
        encoder_weights: None for random weights, `"imagenet"` for Keras's download,
            or the path of a MobileNetV2 weights file (see `load_encoder_weights`).
        use_se: squeeze-and-excitation at the end of each residual block.

    Returns:
        Functional model, `(B, H, W, 3)` RGB in [-1, 1] → `(B, H, W, 1)` float32
        probabilities. 1,084,961 parameters with SE, 1,081,425 without. The layers
        that `DECODER_BLOCKS` names give the blocks' feature maps.

    Raises:
        ValueError: when encoder weights cannot be had or do not fit.
    """
    inputs = keras.Input(input_shape)
    encoder = build_encoder(input_shape, encoder_weights)
    bottleneck, skip_2, skip_4, skip_8 = encoder(inputs)

    x = bottleneck  # (B, H/16, W/16, 576)
    skips = (None, skip_8, skip_4, skip_2)
    for (name, _), filters, skip in zip(
        DECODER_BLOCKS, BLOCK_FILTERS, skips, strict=True
    ):
        if skip is not None:
            x = upsample(x, f"{name}_upsample")
            x = keras.layers.Concatenate(name=f"{name}_concat")([x, skip])
        x = residual_se_block(x, filters, name, use_se)
    x = upsample(x, "probability_upsample")  # (B, H, W, 16)
    # float32 whatever the policy: probabilities near 0 and 1 feed a logarithm.
    outputs = keras.layers.Conv2D(
        1, 1, activation="sigmoid", dtype="float32", name="probability"
    )(x)
    return keras.Model(inputs, outputs, name="lgps")


def scale_logits(network: keras.Model, factor: float) -> None:
    """Multiplies the logits of an LGPS network; its masks at 0.5 stay the same."""
    last = network.get_layer("probability")
    last.set_weights([factor * values for values in last.get_weights()])


def build_encoder(
    input_shape: tuple[int | None, int | None, int],
    encoder_weights: str | None = None,
) -> keras.Model:
    """Builds MobileNetV2 cut after `block_13_expand`, with its four feature maps.

    Args:
        input_shape: `(H, W, 3)`.
        encoder_weights: as in `build_lgps`.

    Returns:
        Functional model with the outputs of `ENCODER_FEATURES`, in that order;
        616,256 parameters.
    """
    download = encoder_weights == "imagenet"
    try:
        # With shapes other than its own, Keras warns before it loads the 224 weights:
        # without H and W it loads the same file in silence.
        mobilenet = keras.applications.MobileNetV2(
            input_shape=(224, 224, 3) if download else input_shape,
            include_top=False,
            weights="imagenet" if download else None,
        )
    except Exception as error:  # keras.utils.get_file raises bare Exception
        if not download:
            raise
        raise ValueError(
            f"The ImageNet weights of MobileNetV2 cannot be downloaded "
            f"({str(error).splitlines()[0]}); {DOWNLOAD_ADVICE}."
        ) from error
    encoder = _cut_encoder(mobilenet)
    if download:
        resized = build_encoder(input_shape)
        resized.set_weights(encoder.get_weights())
        return resized
    if encoder_weights is not None:
        load_encoder_weights(encoder, encoder_weights)
    return encoder


def _cut_encoder(mobilenet: keras.Model) -> keras.Model:
    outputs = [mobilenet.get_layer(name).output for name, _, _ in ENCODER_FEATURES]
    return keras.Model(mobilenet.input, outputs, name=ENCODER_NAME)


def load_encoder_weights(encoder: keras.Model, path: str | Path) -> None:
    """Loads a MobileNetV2 weights file into the cut encoder, in place.

    Args:
        encoder: the model `build_encoder` returns.
        path: a Keras `.weights.h5` of the cut encoder, or Keras's own
            `mobilenet_v2_weights_…_no_top.h5` of the whole MobileNetV2.

    Raises:
        ValueError: when the file is missing, is no such file or does not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"Encoder weights file not found: {path}; {DOWNLOAD_ADVICE}.")
    with encoder_file(path, "MobileNetV2"), warnings.catch_warnings():
        # Keras only warns when it finds some of the layers and not others.
        warnings.simplefilter("error", UserWarning)
        with h5py.File(path) as file:
            by_layer_name = "layer_names" in file.attrs
        if by_layer_name:
            whole = keras.applications.MobileNetV2(
                input_shape=(224, 224, 3), include_top=False, weights=None
            )
            whole.load_weights(path)
            encoder.set_weights(_cut_encoder(whole).get_weights())
        else:
            encoder.load_weights(path)


def upsample(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Bilinear upsampling: `(B, h, w, C)` → `(B, 2h, 2w, C)`."""
    return keras.layers.UpSampling2D(2, interpolation="bilinear", name=name)(x)


def residual_se_block(
    x: keras.KerasTensor, filters: int, name: str, use_se: bool = True
) -> keras.KerasTensor:
    """Adds a residual block with squeeze-and-excitation ("ReSE").

    Args:
        x: `(B, H, W, C)`.
        filters: the block's nominal width F; its output has F/4 channels.
        name: the name of its last layer; the others' names begin with it.
        use_se: whether the channels are reweighted at the end.

    Returns:
        `(B, H, W, filters // 4)`, non-negative.
    """
    width = filters // RESIDUAL_REDUCTION
    shortcut = x
    y = keras.layers.Conv2D(width, 1, name=f"{name}_conv1")(x)
    y = keras.layers.BatchNormalization(name=f"{name}_norm1")(y)
    y = keras.layers.ReLU(name=f"{name}_relu1")(y)
    y = keras.layers.Conv2D(width, 3, padding="same", name=f"{name}_conv2")(y)
    y = keras.layers.BatchNormalization(name=f"{name}_norm2")(y)
    if x.shape[-1] != width:
        shortcut = keras.layers.Conv2D(width, 1, name=f"{name}_shortcut")(x)
        shortcut = keras.layers.BatchNormalization(name=f"{name}_shortcut_norm")(
            shortcut
        )
    y = keras.layers.Add(name=f"{name}_add")([shortcut, y])
    y = keras.layers.ReLU(name=f"{name}_relu2" if use_se else name)(y)
    return squeeze_excite(y, name) if use_se else y


def squeeze_excite(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Reweights the channels of `(B, H, W, C)` by a gate in (0, 1) (arXiv 1709.01507).

    The gate is `sigmoid(Dense(relu(Dense(mean over H, W))))`, C // 16 units inside.

    Args:
        x: `(B, H, W, C)`.
        name: the name of the last layer; the others' names begin with it.
    """
    channels = x.shape[-1]
    gate = keras.layers.GlobalAveragePooling2D(name=f"{name}_gate_mean")(x)
    gate = keras.layers.Dense(
        max(channels // SE_REDUCTION, 1), activation="relu", name=f"{name}_gate_reduce"
    )(gate)
    gate = keras.layers.Dense(
        channels, activation="sigmoid", name=f"{name}_gate_expand"
    )(gate)
    gate = keras.layers.Reshape((1, 1, channels), name=f"{name}_gate")(gate)
    return keras.layers.Multiply(name=name)([x, gate])
