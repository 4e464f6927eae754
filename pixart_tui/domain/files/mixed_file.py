"""The file of a selection with several quant types or kept steps, which OneDiff's cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION, parse_quant_type
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.values import Value, parse_json
from pixart_tui.domain.words import count

FORMAT: Final = "pixart-tui mixed selection 1"
"""The mark that tells the file from OneDiff's, in which every value is an object."""


class MixedLayer(Value):
    """One layer of a mixed selection, or the attention of one block.

    Attributes:
        quant_type: What it is quantized to; ``fp8_attention`` of attention.
        ssim: Its SSIM alone, at most 1.
    """

    quant_type: str
    ssim: float


class MixedSelection(Value):
    """``<name>.selected.json`` where OneDiff's JSON would not do.

    Attributes:
        format: What tells it from a OneDiff file.
        layers: Layer, or a block's attention module, to its quant type, least sensitive first.
        kept_steps: The steps at which nothing is quantized but what follows.
        at_every_step: Layers that are quantized at the kept steps too.
    """

    format: str = FORMAT
    layers: Mapping[str, MixedLayer]
    kept_steps: KeptSteps = NO_STEPS
    at_every_step: tuple[str, ...] = ()


def render(selection: Selection, ssim_by_fqn: Mapping[str, float]) -> str:
    """The file's text."""
    layers = {
        fqn: MixedLayer(quant_type=quant_type, ssim=min(ssim_by_fqn[fqn], 1.0))
        for fqn, quant_type in selection.assignments.items()
    }
    found = MixedSelection(
        layers=layers, kept_steps=selection.kept_steps, at_every_step=selection.at_every_step
    )
    return found.model_dump_json(indent=1) + "\n"


def is_mixed(text: str) -> bool:
    """Whether a text is such a file, of whatever version."""
    try:
        content = parse_json(text)
    except ValueError:
        return False
    return isinstance(content, dict) and isinstance(content.get("format"), str)


def parse(text: str, source: str) -> Choice:
    """Parses the content of a file.

    Args:
        text: The file's text.
        source: The file's name, for errors.

    Raises:
        RequestError: It is of another version or damaged, holds no layer, or names a quant type
            that there is not.
    """
    try:
        found = MixedSelection.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _malformed(source, f"{where}: {first['msg']}") from error
    if found.format != FORMAT:
        raise _malformed(source, f'"format" is {found.format[:60]!r}, and not {FORMAT!r}')
    unknown = [fqn for fqn in found.at_every_step if fqn not in found.layers]
    if unknown or not found.layers:
        cause = f'"at_every_step" names {unknown[0]}, which is no layer of it' if unknown else ""
        raise _malformed(source, cause or "it holds no layer")
    assignments = {fqn: layer.quant_type for fqn, layer in found.layers.items()}
    for name in set(assignments.values()) - {FP8_ATTENTION}:
        parse_quant_type(name)
    return Choice(
        assignments=assignments, kept_steps=found.kept_steps, at_every_step=found.at_every_step
    )


def _malformed(source: str, cause: str) -> RequestError:
    return RequestError(
        f"{source} is not a mixed selection that can be read",
        cause=cause,
        next_step="write one with: pixart-tui select PROFILE",
    )


def refuse_for_onediff(selection: Selection) -> None:
    """Refuses to write as a OneDiff file what it cannot say.

    Raises:
        RequestError: There are several quant types, steps are kept, or attention is chosen.
    """
    if selection.attention:
        raise RequestError(
            "OneDiff's JSON holds linear layers",
            cause="the selection has the attention of "
            f"{count(len(selection.attention), 'block')} in fp8",
            next_step="leave the profile of attention out, or --format, to write pixart-tui's "
            "own JSON",
        )
    quant_types = sorted(set(selection.assignments.values()))
    if len(quant_types) > 1:
        raise RequestError(
            "OneDiff's JSON holds layers of one quant type",
            cause=f"the selection has {', '.join(quant_types)}",
            next_step="give one quant type, or leave --format out to write pixart-tui's own JSON",
        )
    if selection.kept_steps:
        raise RequestError(
            "OneDiff's JSON quantizes a layer at every step",
            cause=f"nothing is to be quantized at {selection.kept_steps.words} steps",
            next_step="keep no steps, or leave --format out to write pixart-tui's own JSON",
        )
