"""Image errors: one image against its reference image, and which layer was quantized."""

from __future__ import annotations

from pixart_tui.domain.values import Value


class Comparison(Value):
    """One quantized image against the reference image of the same prompt and seed.

    Attributes:
        prompt: The prompt of both images.
        seed: The seed of both initial noises.
        finite: False where the quantized latents or image hold NaN or infinity; then there are
            no figures. Such an image is its own result, never "SSIM 0".
        ssim: Structural similarity, 1 for equal images.
        psnr_db: Peak signal-to-noise ratio in dB; None where the images are equal (infinite).
        latent_mse: Mean squared difference of the final latents.
    """

    prompt: str
    seed: int
    finite: bool = True
    ssim: float | None = None
    psnr_db: float | None = None
    latent_mse: float | None = None

    @property
    def loss(self) -> float | None:
        """1 - SSIM, None where the image was not finite."""
        return None if self.ssim is None else 1.0 - self.ssim


class ImageSimilarity(Value):
    """An image beside its reference, both with 8 bits a channel.

    Attributes:
        ssim: Structural similarity, 1 for equal images.
        psnr_db: Peak signal-to-noise ratio in dB, None for equal images (infinite).
        mae: Mean absolute error of the channels, whose values are in [0, 1].
    """

    ssim: float
    psnr_db: float | None
    mae: float

    @property
    def is_equal(self) -> bool:
        """Whether every pixel is the same."""
        return self.mae == 0


class Measurement(Comparison):
    """The error of one layer under one quant type, for one prompt and seed.

    Attributes:
        layer: The only layer that was quantized.
        quant_type: The quant type it was quantized to.
    """

    layer: str
    quant_type: str

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Returns the key by which measurements are the same: merging by it is idempotent."""
        return (self.layer, self.quant_type, self.prompt, self.seed)
