"""Effects: what quantizing one layer at one transformer call does to a sample's image.

An effect is the change of a random functional of the image, to first order: the inner product of
the functional's gradient at the layer's output with the layer's local error. The functionals of a
sample have the mean square 1 - SSIM, so the mean over draws of (sum over calls of effects) squared
is the loss of quantizing that layer alone.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pixart_tui.domain.values import Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Method = Literal["adjoint", "exhaustive"]


class PackedArray(Value):
    """Float32 numbers as text.

    Attributes:
        shape: Of the array.
        data: Its bytes, little-endian, in base64.
    """

    shape: tuple[int, ...]
    data: str

    @classmethod
    def of(cls, array: npt.NDArray[np.float32]) -> PackedArray:
        """The text of an array."""
        text = base64.b64encode(array.astype("<f4").tobytes()).decode()
        return cls(shape=array.shape, data=text)

    def array(self) -> npt.NDArray[np.float32]:
        """The array; ``ValueError`` where the text is not of its shape."""
        # Only now: numpy takes a viewer longer to load than its first paint.
        import numpy as np

        values = np.frombuffer(base64.b64decode(self.data, validate=True), dtype="<f4")
        if len(values) != math.prod(self.shape):
            raise ValueError(f"{len(values)} numbers for the shape {self.shape}")
        return values.reshape(self.shape).astype(np.float32)


def early_calls(calls: int) -> int:
    """How many of an image's transformer calls are early: three of four."""
    return 3 * calls // 4


class LinearCheck(Value):
    """How a sample's image answers to every layer's local error at once.

    The errors are those that the effects are worked out from, so that the sum of the effects would
    be the functional of the image's change if the image answered linearly.

    Attributes:
        quant_type: The coarsest of the quant types, whose errors they are.
        loss: 1 - SSIM of that image; None where it is not finite.
        functionals: The draws' functionals of its change; empty where it is not finite.
        early_loss: 1 - SSIM of the image whose layers add their errors at the early calls alone;
            None where it is not finite.
    """

    quant_type: str
    loss: float | None
    functionals: tuple[float, ...]
    early_loss: float | None = None


class SampleEffects(Value):
    """Everything that one sample's backward pass gave.

    Attributes:
        prompt: The prompt.
        seed: The seed.
        first_calls: Of each draw, the first transformer call that it reached: 0 for all of them.
        effects: Quant type to its effects, (draws, layers, calls), in the order of the plan's
            layers, or of its attention under ``fp8_attention``; NaN for a target that is excluded
            or whose local error is not finite, 0 at calls that a draw did not reach.
        check: How linear the image is.
        elapsed_s: Seconds that the sample took.
    """

    prompt: str
    seed: int
    first_calls: tuple[int, ...]
    effects: Mapping[str, PackedArray]
    check: LinearCheck
    elapsed_s: float
