"""LGPS discriminator: tells an image with its true mask from one with a prediction."""

import keras

from models.conv_crf import MeanFieldCRF

FILTERS = (64, 128, 256, 512)
LEAKY_RELU_SLOPE = 0.2
PUBLISHED_CRF_LAYERS = 4
CRF_KINDS = ("published", "meanfield")


def build_discriminator(
    input_shape: tuple[int | None, int | None, int] = (256, 256, 3),
    crf: str = "published",
) -> keras.Model:
    """Builds the discriminator.

    With `crf="published"`, five strided convolutions are followed by four
    "ConvCRF" layers that are 3×3 convolutions with a sigmoid, and by one more
    sigmoid. Because of the chained sigmoids the output stays within about
    (0.5, 0.73) and never reaches 0, the label of a prediction. With
    `crf="meanfield"` the patch scores are refined by the real ConvCRF, guided by the
    image, and returned as logits.

    Args:
        input_shape: `(H, W, 3)` of the image, in the generator's convention.
        crf: `"published"` or `"meanfield"`.

    Returns:
        Functional model `[image (B, H, W, 3), mask (B, H, W, 1)]` →
        `(B, ceil(H/32), ceil(W/32), 1)` float32: probabilities of "real"
        (published) or logits (meanfield). 1,557,353 parameters when published.

    Raises:
        ValueError: for an unknown `crf`.
    """
    if crf not in CRF_KINDS:
        raise ValueError(
            f"Argument `crf` must be one of {', '.join(CRF_KINDS)}. Received: {crf!r}"
        )
    image = keras.Input(input_shape, name="image")
    mask = keras.Input((*input_shape[:2], 1), name="mask")
    mask_3 = keras.layers.Concatenate()([mask, mask, mask])
    x = keras.layers.Concatenate()([image, mask_3])  # (B, H, W, 6)
    for filters in FILTERS:
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same")(x)
        x = keras.layers.LeakyReLU(negative_slope=LEAKY_RELU_SLOPE)(x)
    x = keras.layers.Conv2D(1, 3, strides=2, padding="same", dtype="float32")(x)
    if crf == "meanfield":  # (B, H/32, W/32, 1)
        # The patch grid is coarse already, so the reach is given in its cells.
        x = MeanFieldCRF(filter_size=7, blur=1, dtype="float32")([x, image])
    else:
        for _ in range(PUBLISHED_CRF_LAYERS):
            x = keras.layers.Conv2D(
                1, 3, padding="same", activation="sigmoid", dtype="float32"
            )(x)
        x = keras.layers.Activation("sigmoid", dtype="float32")(x)
    return keras.Model([image, mask], x, name=f"discriminator_{crf}")
