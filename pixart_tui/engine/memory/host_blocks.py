"""Text encoder blocks that wait in host memory and are copied to the GPU for each prompt."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from pixart_tui.domain.deploying.memory_plan import staged_blocks
from pixart_tui.domain.errors import WorkError, first_line
from pixart_tui.engine.typing import TextEncoder

_ALIGNMENT: Final = 256
_ATTRIBUTE: Final = "host_blocks"


def is_streamed(text_encoder: TextEncoder) -> bool:
    """Whether blocks of a T5 encoder wait in host memory: no compiler may hold their addresses."""
    return hasattr(text_encoder.encoder, _ATTRIBUTE)


def move_blocks_to_host(text_encoder: TextEncoder, count: int, device: torch.device) -> None:
    """Has the last blocks of a T5 encoder wait in host memory between prompts.

    Args:
        text_encoder: A ``T5EncoderModel``, changed in place.
        count: How many blocks; all of them when it is larger than their number.
        device: Where the encoder computes.

    Raises:
        WorkError: The host has too little memory that can be pinned.
    """
    stack = text_encoder.encoder
    blocks = list(stack.block)[-count:] if count else []
    if not blocks:
        return
    try:
        waiting = [_HostBlock(block, pinned=device.type == "cuda") for block in blocks]
    except RuntimeError as error:
        raise WorkError(
            f"{len(blocks)} text encoder blocks cannot wait in host memory",
            cause=first_line(error),
            next_step="keep more of them on the GPU: --text-encoder-host-blocks N",
        ) from error
    stream = _Stream(waiting, device)
    stack.register_forward_pre_hook(stream.begin)
    for index, block in enumerate(blocks):
        block.register_forward_pre_hook(partial(stream.enter, index))
        block.register_forward_hook(partial(stream.leave, index))
    stack.register_forward_hook(stream.end, always_call=True)
    setattr(stack, _ATTRIBUTE, len(blocks))


class _HostBlock:
    """A block whose weights lie in one piece of host memory, so that one copy moves them all.

    Attributes:
        home: The piece, uint8, pinned if a GPU reads it.
    """

    def __init__(self, block: nn.Module, *, pinned: bool) -> None:
        self._tensors: list[Tensor] = [*block.parameters(), *block.buffers()]
        self._layout = [(tensor.shape, tensor.dtype) for tensor in self._tensors]
        size_bytes = sum(_padded(tensor.nbytes) for tensor in self._tensors)
        self.home = torch.empty(size_bytes, dtype=torch.uint8, pin_memory=pinned)
        for view, tensor in zip(self._views(self.home), self._tensors, strict=True):
            view.copy_(tensor.detach())
        self.live_in(self.home)

    def live_in(self, storage: Tensor) -> None:
        """Has the block's weights be what lies in a piece of memory of the same layout."""
        for tensor, view in zip(self._tensors, self._views(storage), strict=True):
            tensor.data = view

    def _views(self, storage: Tensor) -> Iterator[Tensor]:
        start = 0
        for shape, dtype in self._layout:
            size_bytes = shape.numel() * dtype.itemsize
            yield storage[start : start + size_bytes].view(dtype).view(shape)
            start += _padded(size_bytes)


class _Stream:
    """Copies blocks in the order in which they compute, a few ahead, into places that they share.

    On a GPU two streams work side by side, and four waits keep them in order:

    * ``begin``: the copies wait for the work before the prompt, which may still read the memory
      that the allocator now hands out for the places;
    * ``enter``: a block's computation waits for its copy;
    * ``leave``: the next copy into a place waits for the computation that reads it;
    * ``end``: the next user of this memory, in the computing stream, comes after
      every copy, even if an error left copies that no block has waited for.

    So no tensor needs ``record_stream``. On a CPU the copies are plain ones.
    """

    def __init__(self, blocks: list[_HostBlock], device: torch.device) -> None:
        self._blocks = blocks
        self._device = device
        self._largest = max(block.home.nbytes for block in blocks)
        self._copying = _copying_stream(device)
        self._places: list[Tensor] = []
        self._copied: dict[int, torch.cuda.Event] = {}

    def begin(self, *_hooked: object) -> None:
        """Takes the places and starts the first copies; before the encoder computes."""
        count = staged_blocks(len(self._blocks), self._largest)
        self._places = [
            torch.empty(self._largest, dtype=torch.uint8, device=self._device) for _ in range(count)
        ]
        self._await_computing()
        for index in range(count):
            self._copy(index)

    def enter(self, index: int, *_hooked: object) -> None:
        """Waits for a block's copy; before it computes."""
        if self._copying is not None:
            torch.cuda.current_stream(self._device).wait_event(self._copied.pop(index))
        self._blocks[index].live_in(self._place(index))

    def leave(self, index: int, *_hooked: object) -> None:
        """Gives a block's place to the next one that needs it; after it has computed."""
        self._blocks[index].live_in(self._blocks[index].home)
        following = index + len(self._places)
        if following < len(self._blocks):
            self._await_computing()
            self._copy(following)

    def end(self, *_hooked: object) -> None:
        """Gives the memory back; after the encoder, also when it failed."""
        if self._copying is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._copying)
        for block in self._blocks:
            block.live_in(block.home)
        self._places, self._copied = [], {}

    def _place(self, index: int) -> Tensor:
        return self._places[index % len(self._places)][: self._blocks[index].home.nbytes]

    def _copy(self, index: int) -> None:
        # Without a stream (on a CPU) the context does nothing.
        with torch.cuda.stream(self._copying):
            self._place(index).copy_(self._blocks[index].home, non_blocking=True)
            if self._copying is not None:
                self._copied[index] = self._copying.record_event()

    def _await_computing(self) -> None:
        if self._copying is not None:
            self._copying.wait_stream(torch.cuda.current_stream(self._device))


def _copying_stream(device: torch.device) -> torch.cuda.Stream | None:
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGNMENT) * _ALIGNMENT
