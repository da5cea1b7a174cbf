"""ConvCRF: mean-field inference in which only near pixels exchange messages.

Reference: Teichmann and Cipolla, "Convolutional CRFs for Semantic Segmentation",
arXiv 1805.04777. The defaults are those the authors give.
"""

import keras
from keras import ops

COLOUR_HALF_RANGE = 127.5  # guide values in [-1, 1] stand for colours in 0–255
MIN_KERNEL_SUM = 1e-6


@keras.saving.register_keras_serializable(package="polyp")
class MeanFieldCRF(keras.layers.Layer):
    """Refines one-channel logits, so that near pixels of like colour get like values.

    Two classes, background and foreground, with the unary term of the given logits
    `z`. Each iteration computes, with p the position and c the colour of a pixel,

        k(i, j) = w_s · exp(-|p_i - p_j|² / 2θ_γ²)
                + w_a · exp(-|p_i - p_j|² / 2θ_α² - |c_i - c_j|² / 2θ_β²)
        Q       = softmax(unary + (Σ_j k̂(i, j) · Q_j) · compatibility)

    where j runs over the diamond |Δy| + |Δx| ≤ filter_size // 2 without i itself,
    and k̂ is each kernel normalised symmetrically. Kernel weights and the 2×2
    compatibility (identity at first: neighbours pull towards their own class) are
    trained with the network around the layer.

    Args:
        filter_size: odd side of the message window, in cells of the message grid.
        iterations: mean-field steps.
        blur: messages are passed on a grid coarser than the logits by this factor.
        theta_gamma: reach of the smoothness kernel, in pixels of the logits.
        theta_alpha: reach of the appearance kernel, in pixels of the logits.
        theta_beta: colour tolerance of the appearance kernel, in 0–255 units.
        smoothness_weight: initial w_s.
        appearance_weight: initial w_a.

    Call arguments:
        inputs: `[logits (B, h, w, 1), guide (B, H, W, 3)]`, guide RGB in [-1, 1],
            resized to `(h, w)` by averaging when larger.

    Returns:
        Refined logits `(B, h, w, 1)`.
    """

    def __init__(
        self,
        filter_size: int = 11,
        iterations: int = 5,
        blur: int = 4,
        theta_gamma: float = 3.0,
        theta_alpha: float = 80.0,
        theta_beta: float = 13.0,
        smoothness_weight: float = 3.0,
        appearance_weight: float = 10.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if filter_size < 3 or filter_size % 2 == 0:
            raise ValueError(
                "Argument `filter_size` must be odd and at least 3. "
                f"Received: filter_size={filter_size}"
            )
        self.filter_size = filter_size
        self.iterations = iterations
        self.blur = blur
        self.theta_gamma = theta_gamma
        self.theta_alpha = theta_alpha
        self.theta_beta = theta_beta
        self.smoothness_weight = smoothness_weight
        self.appearance_weight = appearance_weight

    def build(self, input_shape):
        self.kernel_weights = self.add_weight(
            name="kernel_weights",
            shape=(2,),
            initializer=lambda shape, dtype: ops.convert_to_tensor(
                [self.smoothness_weight, self.appearance_weight], dtype
            ),
        )
        self.compatibility = self.add_weight(
            name="compatibility", shape=(2, 2), initializer="identity"
        )

    def call(self, inputs):
        logits, guide = inputs
        height, width = ops.shape(logits)[1:3]
        guide = ops.image.resize(guide, (height, width), antialias=True)
        kernel = self._kernel(self._coarsen(guide))  # (B, h', w', k²)
        # log-softmax of the two-class scores (0, z)
        unary = ops.concatenate(
            [-ops.softplus(logits), -ops.softplus(-logits)], axis=-1
        )
        scores = unary
        for _ in range(self.iterations):
            beliefs = self._coarsen(ops.softmax(scores))
            messages = ops.sum(
                kernel[..., None] * self._neighbours(beliefs), axis=-2
            )  # (B, h', w', 2)
            messages = ops.matmul(messages, self.compatibility)
            scores = unary + self._refine(messages, height, width)
        return scores[..., 1:] - scores[..., :1]

    def _kernel(self, guide):
        """Weighted sum of both normalised kernels, `(B, h', w', k²)`."""
        offsets = self._offsets()
        reach = self.filter_size // 2
        in_window = [0 < abs(dy) + abs(dx) <= reach for dy, dx in offsets]
        inside = self._neighbours(ops.ones_like(guide[..., :1]))[..., 0]
        inside = inside * ops.convert_to_tensor(in_window, inside.dtype)
        # (B, h', w', k²): squared distances in pixels of the logits, and in colours
        distance = ops.convert_to_tensor(
            [self.blur**2 * (dy**2 + dx**2) for dy, dx in offsets], inside.dtype
        )
        colour = COLOUR_HALF_RANGE * (self._neighbours(guide) - guide[..., None, :])
        colour = ops.sum(colour**2, axis=-1)
        smoothness = ops.exp(-distance / (2 * self.theta_gamma**2)) * inside
        appearance = inside * ops.exp(
            -distance / (2 * self.theta_alpha**2) - colour / (2 * self.theta_beta**2)
        )
        return self.kernel_weights[0] * self._normalise(
            smoothness
        ) + self.kernel_weights[1] * self._normalise(appearance)

    def _normalise(self, kernel):
        """Divides k(i, j) by the square root of both pixels' kernel sums."""
        total = ops.sum(kernel, axis=-1, keepdims=True)
        scale = 1 / ops.sqrt(ops.maximum(total, MIN_KERNEL_SUM))
        return kernel * scale * self._neighbours(scale)[..., 0]

    def _offsets(self) -> list[tuple[int, int]]:
        reach = self.filter_size // 2
        steps = range(-reach, reach + 1)
        return [(dy, dx) for dy in steps for dx in steps]

    def _neighbours(self, x):
        """The window around each cell: `(B, h, w, C)` → `(B, h, w, k², C)`."""
        patches = ops.image.extract_patches(
            x, self.filter_size, strides=1, padding="same"
        )
        height, width = ops.shape(x)[1:3]
        return ops.reshape(
            patches, (-1, height, width, self.filter_size**2, x.shape[-1])
        )

    def _coarsen(self, x):
        if self.blur == 1:
            return x
        # Strides by name: by default, Keras 3.15 on JAX expands them twice and fails.
        return ops.average_pool(x, self.blur, strides=self.blur, padding="same")

    def _refine(self, x, height, width):
        if self.blur == 1:
            return x
        rows, columns = (side * self.blur for side in ops.shape(x)[1:3])
        x = ops.image.resize(x, (rows, columns))
        # Pooling padded both sides alike where the size is no multiple of `blur`.
        top, left = (rows - height) // 2, (columns - width) // 2
        return x[:, top : top + height, left : left + width]

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        names = (
            "filter_size iterations blur theta_gamma theta_alpha theta_beta "
            "smoothness_weight appearance_weight"
        )
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names.split()},
        }
