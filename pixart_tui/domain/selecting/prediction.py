"""The joint loss of a selection, predicted from its single layers.

To second order 1 - SSIM is a quadratic form of what a disturbance does to the image, and the
disturbances of several layers add up in the image. Their joint loss is therefore the sum of their
own losses, plus a product for each pair. Over prompts and seeds these products cancel (see
``benchmarks/layer_interactions.py``): the sum is the prediction, and joint measurements scale it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pixart_tui.domain.selecting.candidates import Candidate


def predicted_loss(options: Iterable[Candidate], scale: float = 1.0) -> float:
    """1 - SSIM that these options are predicted to cost together.

    Args:
        options: One for each quantized target.
        scale: Measured loss over predicted loss, where joint measurements told it.
    """
    return scale * sum(max(option.loss, 0.0) for option in options)
