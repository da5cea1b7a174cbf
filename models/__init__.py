"""The two networks, and the one function that builds either of them."""

from typing import Any

from models.image_convention import IMAGE_CONVENTIONS, ImageConvention

MODEL_NAMES = tuple(IMAGE_CONVENTIONS)


def build_model(
    name: str,
    input_shape: tuple[int | None, int | None, int] = (256, 256, 3),
    encoder_weights: str | None = None,
    **options: Any,
):
    """Builds a segmentation network as a Keras functional model.

    Args:
        name: `"lgps"` or `"pvtseg"`.
        input_shape: `(H, W, 3)`; H and W divisible by the model's size multiple, or
            None for any size.
        encoder_weights: None (random), a path to a weights file or, for LGPS,
            `"imagenet"`.
        **options: the builder's own: `use_se` (LGPS), `encoder` (PVTSeg).

    Returns:
        A `keras.Model`: images in the convention `IMAGE_CONVENTIONS[name]` describes
        → `(B, H, W, 1)` float32 probabilities.

    Raises:
        ValueError: for an unknown name or an illegal size.

    Example:
        >>> build_model("lgps").count_params()
        1084961
    """
    if name not in MODEL_NAMES:
        raise ValueError(
            f"Argument `name` must be one of {', '.join(MODEL_NAMES)}. "
            f"Received: name={name!r}"
        )
    if None not in input_shape[:2]:
        IMAGE_CONVENTIONS[name].check_size(*input_shape[:2])
    # Imported here, so that a command's --help does not wait for Keras.
    if name == "lgps":
        from models.lgps import build_lgps as build
    else:
        from models.pvtseg import build_pvtseg as build
    return build(input_shape, encoder_weights, **options)


__all__ = ["IMAGE_CONVENTIONS", "MODEL_NAMES", "ImageConvention", "build_model"]
