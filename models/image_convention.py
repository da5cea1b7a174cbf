"""Says how each model's input is prepared: channel order, range, legal sizes.

Training, evaluation and export all use these conventions, so that no model gets
images in the channel order or range of another.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ImageConvention:
    """How an RGB image with values 0–255 becomes a model's input.

    Attributes:
        channel_order: `"RGB"` or `"BGR"`, the order the model was published with.
        scale: factor applied to values in 0–255.
        offset: added after scaling.
        size_multiple: height and width must be divisible by this (pixels).
    """

    channel_order: str
    scale: float
    offset: float
    size_multiple: int

    def prepare(self, images: Any) -> Any:
        """Prepares images for the model.

        Args:
            images: `(..., H, W, 3)` **float32** RGB in [0, 255]: NumPy array or
                backend tensor.

        Returns:
            The same kind of array, `(..., H, W, 3)`, in the model's own convention.
        """
        if self.channel_order == "BGR":
            images = images[..., ::-1]
        return images * self.scale + self.offset

    def check_size(self, height: int, width: int) -> None:
        """Raises `ValueError` naming the nearest legal size when a size is illegal."""
        step = self.size_multiple
        if height >= step and width >= step and height % step == width % step == 0:
            return
        nearest = [max(step, round(side / step) * step) for side in (height, width)]
        raise ValueError(
            f"Image height and width must be divisible by {step}; the nearest is "
            f"{nearest[0]}×{nearest[1]}. Received: {height}×{width}"
        )


IMAGE_CONVENTIONS = {
    # x / 127.5 - 1, RGB.
    "lgps": ImageConvention("RGB", 1 / 127.5, -1.0, size_multiple=16),
    # The published code reads with OpenCV and never converts: BGR, x / 255.
    "pvtseg": ImageConvention("BGR", 1 / 255.0, 0.0, size_multiple=32),
}
