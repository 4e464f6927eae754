"""Events of a comparison run."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pixart_tui.domain.profiles.measurements import ImageSimilarity
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.values import Value, read_old_names


class ComparePlanned(Value):
    """The plan of a comparison; written once per attempt, equal in all of them.

    Attributes:
        machine: Where it is made.
        versions: With what.
        conditions: How the images are made, in the words of a profile.
        layers: The layers that are quantized together.
    """

    type: Literal["compare_planned"] = "compare_planned"
    machine: Machine
    versions: Versions
    conditions: Conditions
    layers: tuple[str, ...]


class ImagesCompared(Value):
    """An image and its reference image are made: a comparison's unit of resuming.

    Attributes:
        prompt: The prompt of both.
        seed: The seed of both.
        similarity: How far they are from each other as they are kept, with 8 bits a channel; None
            where the image holds NaN or infinity.
    """

    type: Literal["images_compared"] = "images_compared"
    prompt: str
    seed: int
    similarity: ImageSimilarity | None

    _old = model_validator(mode="before")(read_old_names({"likeness": "similarity"}))
