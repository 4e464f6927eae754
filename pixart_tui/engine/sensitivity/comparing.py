"""Quantized images against reference ones, in batches that fit into the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from pixart_tui.domain.errors import WorkError, first_line
from pixart_tui.domain.events import BatchChosen
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.engine.sensitivity.memory import free_unused
from pixart_tui.engine.sensitivity.rendering import (
    Modification,
    Rendered,
    Renderer,
    compare,
    unmodified,
)

_Result = TypeVar("_Result")
See = Callable[[Rendered, Rendered], None]


def _unseen(_rendered: Rendered, _reference: Rendered) -> None:
    """Ignores the images."""


class Comparer:
    """Compares images with the reference ones, and halves the batch where memory runs out.

    The order in which a GPU adds depends on the size of the batch, so two images are compared only
    if both were made in batches of one size: after halving the reference ones are made again.

    Args:
        reference: Makes the reference images.
        batch_size: Images at once.

    Attributes:
        reference: Makes the reference images.
        batch_size: Images at once, at present.
    """

    def __init__(self, reference: Renderer, batch_size: int) -> None:
        self.reference = reference
        self.batch_size = batch_size
        self._baseline: tuple[Rendered, ...] = ()
        self._changes: list[BatchChosen] = []

    def replica(self) -> Comparer:
        """Another one that starts from the same reference images, with its own transformer."""
        replica = Comparer(self.reference.replica(), self.batch_size)
        replica._baseline = self._baseline
        return replica

    def baseline(self) -> tuple[Rendered, ...]:
        """The reference images, batch by batch, on the CPU.

        Raises:
            WorkError: Not even one image fits into the memory.
        """
        return self._within_memory(self._known_baseline)

    def compare(
        self,
        renderer: Renderer,
        modify: Modification = unmodified,
        batches_at_once: int = 1,
        see: See = _unseen,
    ) -> tuple[Comparison, ...]:
        """Every image of a renderer against its reference image, in the samples' order.

        Args:
            renderer: Makes the images.
            modify: What is changed in its model meanwhile.
            batches_at_once: More than one where the renderer's dtype is another anyway, so that
                the order of the additions is nothing beside what is compared.
            see: Shown each batch and its reference, once more where it is made again.

        Raises:
            WorkError: Not even one image fits into the memory.
        """
        return self._within_memory(lambda: self._compare(renderer, modify, batches_at_once, see))

    def take_changes(self) -> tuple[BatchChosen, ...]:
        """How the batch size changed since the last call."""
        changes, self._changes = self._changes, []
        return tuple(changes)

    def _compare(
        self,
        renderer: Renderer,
        modify: Modification,
        batches_at_once: int,
        see: See,
    ) -> tuple[Comparison, ...]:
        reference = self._known_baseline()
        size = batches_at_once * self.batch_size
        found: list[Comparison] = []
        for rendered in renderer.render(size, modify):
            same = _reference_images(rendered, reference)
            see(rendered, same)
            found += compare(rendered, same)
        return tuple(found)

    def _known_baseline(self) -> tuple[Rendered, ...]:
        if not self._baseline:
            cpu = torch.device("cpu")
            images = self.reference.render(self.batch_size)
            self._baseline = tuple(x.to(cpu) for x in images)
        return self._baseline

    def _within_memory(self, work: Callable[[], _Result]) -> _Result:
        while True:
            try:
                return work()
            except torch.OutOfMemoryError as error:
                cause = first_line(error)
            # Only here, because the error's traceback holds the tensors that filled the memory.
            free_unused()
            self._halve(cause)

    def _halve(self, cause: str) -> None:
        if self.batch_size == 1:
            raise WorkError(
                "a single image does not fit into the GPU's memory",
                cause=cause[:200],
                next_step="free the GPU and resume, or start again with --baseline-dtype "
                "bfloat16 or a "
                "smaller --height and --width",
            )
        reason = f"the GPU ran out of memory at {self.batch_size}"
        self.batch_size //= 2
        self._baseline = ()
        self._changes.append(BatchChosen(images=self.batch_size, reason=reason))


def _reference_images(rendered: Rendered, baseline: Sequence[Rendered]) -> Rendered:
    """The reference images of the same samples, on the same device."""
    latents = {s: x for b in baseline for s, x in zip(b.samples, b.latents, strict=True)}
    images = {s: x for b in baseline for s, x in zip(b.samples, b.images, strict=True)}
    same = Rendered(
        rendered.samples,
        torch.stack([latents[sample] for sample in rendered.samples]),
        torch.stack([images[sample] for sample in rendered.samples]),
    )
    return same.to(rendered.images.device)
