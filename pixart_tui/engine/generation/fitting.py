"""How many images of a batch the free memory holds: told before the call, and after one failed."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import torch

from pixart_tui.domain.errors import WorkError, first_line
from pixart_tui.engine.generation.call import GenerateCall
from pixart_tui.engine.memory.parts import memory_parts
from pixart_tui.engine.typing import Pipeline

_CGROUP: Final = Path("/sys/fs/cgroup")
_GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class BatchMemory:
    """Estimated memory of a batch beside the weights.

    Attributes:
        image_bytes: One image.
        free_bytes: What is free.
    """

    image_bytes: int
    free_bytes: int

    @property
    def fitting(self) -> int:
        """Images that fit."""
        return self.free_bytes // self.image_bytes


def estimate_batch(
    pipeline: Pipeline, call: GenerateCall, size: tuple[int, int], device: torch.device
) -> BatchMemory:
    """Estimates the memory of a call's images on a device.

    Args:
        pipeline: As it was loaded: its weights are there already.
        call: The call.
        size: Height and width that it draws.
        device: Where the pipeline is.
    """
    guided = call.guidance_scale > 1
    height, width = size
    parts = memory_parts(
        pipeline, height=height, width=width, text_tokens=call.text_tokens, guidance=guided
    )
    image_bytes = max(parts.denoise_bytes, parts.decode_bytes["whole"])
    return BatchMemory(max(image_bytes, 1), free_bytes(device))


def free_bytes(device: torch.device) -> int:
    """Memory that this process can still take: of the GPU, or of the machine and its limits."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + unused
    return max(0, min(psutil.virtual_memory().available, *_limits()))


def refuse_too_large(call: GenerateCall, memory: BatchMemory) -> None:
    """Refuses a batch that cannot fit, before anything is computed.

    Raises:
        WorkError: It cannot; it says how many images would.
    """
    if call.batch > memory.fitting:
        needed = call.batch * memory.image_bytes / _GIB
        raise _too_large(call, memory, memory.fitting, f"it would take about {needed:.1f} GiB")


@contextmanager
def out_of_memory_explained(call: GenerateCall, memory: BatchMemory) -> Iterator[None]:
    """Turns what torch says when memory runs out into what would fit.

    Raises:
        WorkError: Memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        said = first_line(error, 120)
        fitting = min(memory.fitting, call.batch // 2)
        raise _too_large(call, memory, fitting, f"memory ran out: {said}") from error


def _is_out_of_memory(error: Exception) -> bool:
    told = str(error).lower()
    words = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(x in told for x in words)


def _too_large(call: GenerateCall, memory: BatchMemory, fitting: int, said: str) -> WorkError:
    images = f"{call.batch} image{'s' if call.batch > 1 else ''} of {call.width}x{call.height}"
    return WorkError(
        f"{images} at once do not fit into memory",
        cause=f"{said}; {memory.free_bytes / _GIB:.1f} GiB were free beside the weights",
        next_step=f"--batch {fitting} should fit"
        if fitting
        else "draw smaller images, or free memory",
    )


def _limits() -> Iterator[int]:
    """Returns the memory left within the limits of the process and of its control group."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield soft - psutil.Process().memory_info().vms
    try:
        most = (_CGROUP / "memory.max").read_text().strip()
        taken = int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        most, taken = "max", 0
    yield int(most) - taken if most.isdecimal() else psutil.virtual_memory().available
