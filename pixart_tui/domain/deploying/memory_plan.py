"""Which memory switches a budget asks for: an estimate of the peak, and the cheapest way below it.

The estimate is a sum of what is there all the time and the largest of three things that are not
there together: encoding the text, with the staging of its blocks; denoising; decoding the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pixart_tui.domain.deploying.deployment import MemoryOptions, VaeDecoding
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.values import Value

STAGING_BYTES: Final = 640 * 2**20
"""Memory that staged blocks may take together: less than decoding a 1024x1024 image in strips."""

_GIB: Final = 2**30


class MemoryParts(Value):
    """Memory of each part of a pipeline on the GPU, in bytes.

    Attributes:
        blocks: Number of the text encoder's blocks.
        block_bytes: The largest of them, as it was loaded.
        block_8bit_bytes: The same with int8 linears.
        text_encoder_rest_bytes: The text encoder without its blocks: the embedding, in the main.
        transformer_bytes: The transformer's weights.
        vae_bytes: The VAE's weights.
        kept_bytes: The libraries' workspaces.
        encode_bytes: Activations of encoding the texts, staging not counted.
        denoise_bytes: Activations of denoising.
        decode_bytes: Activations of decoding, for each way of doing it.
    """

    blocks: int
    block_bytes: int
    block_8bit_bytes: int
    text_encoder_rest_bytes: int
    transformer_bytes: int
    vae_bytes: int
    kept_bytes: int
    encode_bytes: int
    denoise_bytes: int
    decode_bytes: dict[VaeDecoding, int]


def staged_blocks(host_blocks: int, block_bytes: int) -> int:
    """How many host blocks have a place on the GPU at a time: two, or more if they are small.

    With two, one is copied while the other computes; more let the copies run ahead while the
    blocks before them compute.
    """
    return min(host_blocks, max(2, STAGING_BYTES // max(1, block_bytes)))


def estimate_peak_bytes(parts: MemoryParts, options: MemoryOptions) -> int:
    """The peak of a pipeline call under some switches, weights included."""
    block = parts.block_8bit_bytes if options.text_encoder_8bit else parts.block_bytes
    on_host = min(options.text_encoder_host_blocks, parts.blocks)
    weights = (
        parts.text_encoder_rest_bytes
        + (parts.blocks - on_host) * block
        + parts.transformer_bytes
        + parts.vae_bytes
    )
    encoding = parts.encode_bytes + staged_blocks(on_host, block) * block
    phases = (encoding, parts.denoise_bytes, parts.decode_bytes[options.vae])
    return weights + parts.kept_bytes + max(phases)


def choose_memory(parts: MemoryParts, budget_bytes: int) -> MemoryOptions:
    """The cheapest switches whose estimated peak is within a budget.

    Raises:
        RequestError: None are; it names the smallest budget that would do.
    """
    candidates = tuple(_candidates(parts.blocks))
    for options in candidates:
        if estimate_peak_bytes(parts, options) <= budget_bytes:
            return options
    smallest = min(estimate_peak_bytes(parts, options) for options in candidates)
    hundredths = -(-smallest * 100 // _GIB)
    raise RequestError(
        f"a pipeline call does not fit into {budget_bytes / _GIB:g} GiB",
        cause=f"with every switch on it takes about {smallest / _GIB:.2f} GiB",
        next_step=f"use --memory-budget {hundredths / 100:.2f} or more, or draw a smaller image",
    )


def _candidates(blocks: int) -> Iterator[MemoryOptions]:
    """From the cheapest on, see docs/memory.md for the order.

    Strips cost a few milliseconds and change nothing; int8 costs a few more and changes the image
    a little; each block on the host is copied for each prompt; tiles change the image visibly.
    """
    yield MemoryOptions()
    yield MemoryOptions(vae="strips")
    ways: tuple[VaeDecoding, ...] = ("strips", "tiled")
    for vae in ways:
        for on_host in range(blocks + 1):
            yield MemoryOptions(text_encoder_8bit=True, text_encoder_host_blocks=on_host, vae=vae)
