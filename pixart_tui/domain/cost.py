"""What a profile costs: transformer calls, in calls for one image, beside the exhaustive method."""

from __future__ import annotations

from pixart_tui.domain.probing import Probing
from pixart_tui.domain.values import Value


class Cost(Value):
    """Transformer calls for one image and one step, both guidance halves together.

    A call that starts at a block counts as the part of the blocks that it runs. The deployment
    floor is not counted: both methods measure it alike.

    Attributes:
        forwards: What the profile took, with the undisturbed images.
        exhaustive_forwards: What the exhaustive method takes for the same samples.
        elapsed_s: Seconds of measuring: the lanes' seconds of the layers, and the preparation.
        exhaustive_s: Seconds the exhaustive method's layers would take at the pace of this
            profile's whole images; None where none was made. Too much where the exhaustive method
            makes more images at once than the fast one.
    """

    forwards: float
    exhaustive_forwards: float
    elapsed_s: float
    exhaustive_s: float | None

    @property
    def share(self) -> float:
        """Part of the exhaustive method's transformer calls."""
        return self.forwards / self.exhaustive_forwards


def exhaustive_forwards(layers: int, samples: int, steps: int) -> float:
    """Calls of the exhaustive method: every layer's images and the undisturbed ones."""
    return float((layers + 1) * samples * steps)


def forwards_so_far(probing: Probing | None, images: int, samples: int, steps: int) -> float:
    """Calls of a profile: the undisturbed images, the probes, and the disturbed images."""
    return (samples + images) * steps + (probing.forwards if probing else 0.0)
