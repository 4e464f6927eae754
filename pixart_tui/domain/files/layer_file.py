"""The JSON of what a deployment quantizes: OneDiff's, or our own where that cannot say it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixart_tui.domain.deploying.deployment import ONEDIFF_BACKENDS, Compiler
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import mixed_file, onediff_file
from pixart_tui.domain.files.text_files import read_text
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.selecting import onediff_rule


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A file that was read.

    Attributes:
        path: Where it is.
        ssim_by_fqn: What OneDiff's JSON holds; empty where it is our own.
        mixed: What our own says; None where it is OneDiff's.
    """

    path: Path
    ssim_by_fqn: Mapping[str, float]
    mixed: Choice | None = None

    def choice(self, quant_type: str, top_percentage: float, kept_steps: KeptSteps) -> Choice:
        """Returns the quantized layers; a mixed selection says all of it by itself.

        Args:
            quant_type: Of OneDiff's layers.
            top_percentage: The share of OneDiff's layers, by count, that is quantized.
            kept_steps: The steps at which OneDiff's layers are not.

        Raises:
            RequestError: Nothing is left to quantize, or a mixed selection is to keep other steps.
        """
        if self.mixed is not None:
            self.refuse_options(kept_steps.options)
            return self.mixed
        layers = onediff_rule.chosen_layers(self.ssim_by_fqn, top_percentage)
        if not layers:
            raise RequestError(
                "no layer would be quantized",
                cause=f"{top_percentage:g}% of the layers of {self.path.name} are none",
                next_step="ask for a larger share of the layers",
            )
        return Choice.of_one(quant_type, layers, kept_steps)

    def words(self, top_percentage: float) -> str:
        """How the layers were chosen, in a few words."""
        if self.mixed is not None:
            return self.path.name
        return f"{self.path.name}, best {top_percentage:g}%"

    def refuse_options(self, given: Collection[str]) -> None:
        """Refuses what would contradict a mixed selection.

        Args:
            given: The options that were given, by name.

        Raises:
            RequestError: There are such options, and the file is one.
        """
        if self.mixed is not None and given:
            raise RequestError(
                f"{self.path.name} says itself what is quantized, to what and at which steps",
                cause=f"it is a mixed selection, and {', '.join(given)} would change it",
                next_step="leave that out, or choose again with: pixart-tui select",
            )

    def refuse_compilers(self, compilers: Collection[Compiler]) -> None:
        """Refuses OneDiff's back-ends for a mixed selection.

        Raises:
            RequestError: One of them is asked for, and the file is one.
        """
        backend = next((name for name in compilers if name in ONEDIFF_BACKENDS), None)
        if self.mixed is not None and backend is not None:
            raise RequestError(
                f"--compiler {backend} cannot deploy a mixed selection",
                cause="OneDiff quantizes all layers to one quant type, and at every step",
                next_step="use --compiler torch, or choose with: pixart-tui select --format "
                "onediff",
            )


def read(path: Path) -> LayerFile:
    """Reads either file.

    Raises:
        RequestError: It cannot be read, or is neither.
    """
    text = read_text(path, "write one with: pixart-tui select PROFILE")
    if mixed_file.is_mixed(text):
        return LayerFile(path, {}, mixed_file.parse(text, str(path)))
    return LayerFile(path, onediff_file.parse(text, str(path)))
