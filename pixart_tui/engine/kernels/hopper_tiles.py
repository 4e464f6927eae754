"""Rings of tiles in shared memory between a partition that asks for them and those that read them.

A ring is a tuple: heads, tails (the heads again if there are none), and the barriers `full` and
`empty` of its slots. The tile that is the nth to pass through is in slot n mod the number of slots.
"""

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier, tma


@gluon.jit
def allocate(desc, desc_tail, SLOTS: gl.constexpr, TAIL: gl.constexpr):
    """Shared memory for SLOTS tiles: heads and tails."""
    head = gl.allocate_shared_memory(desc.dtype, [SLOTS] + desc.block_type.shape, desc.layout)
    if TAIL:
        tail = gl.allocate_shared_memory(
            desc.dtype, [SLOTS] + desc_tail.block_type.shape, desc_tail.layout
        )
    else:
        tail = head
    return head, tail


@gluon.jit
def ring_of(buffers, SLOTS: gl.constexpr, READERS: gl.constexpr):
    """`allocate` with two barriers a slot.

    `full` completes a phase when the bytes of a tile are there (one arrival, that of `expect`).
    `empty` completes a phase when every reader is done with the tile.
    """
    full = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    for slot in gl.static_range(SLOTS):
        mbarrier.init(full.index(slot), count=1)
        mbarrier.init(empty.index(slot), count=READERS)
    return buffers[0], buffers[1], full, empty


@gluon.jit
def fetch(descs, ring, image, head, row, slot, TAIL: gl.constexpr, ACROSS: gl.constexpr):
    """Ask for the tile that starts at `row`; rows and columns out of bounds arrive as zeros.

    ACROSS: the tensor is stored transposed, (columns, rows).
    """
    desc, desc_tail = descs
    bar = ring[2].index(slot)
    nbytes: gl.constexpr = desc.block_type.nbytes
    if TAIL:
        mbarrier.expect(bar, nbytes + desc_tail.block_type.nbytes)
        start: gl.constexpr = desc.block_type.shape[3]
        at_tail = [image, head, row, start]
        tma.async_copy_global_to_shared(desc_tail, at_tail, bar, ring[1].index(slot))
    else:
        mbarrier.expect(bar, nbytes)
    at = [image, head, 0, row] if ACROSS else [image, head, row, 0]
    tma.async_copy_global_to_shared(desc, at, bar, ring[0].index(slot))


@gluon.jit
def wait_for(ring, nth, pred=True):
    """Wait for the tile that is the `nth` to pass through a ring; its slot."""
    slot = nth % ring[0].shape[0]
    mbarrier.wait(ring[2].index(slot), (nth // ring[0].shape[0]) & 1, pred=pred)
    return slot


@gluon.jit
def release(ring, slot):
    """Tell the loader that this partition is done with a tile.

    One thread arrives for all: the barrier before it makes sure that no warp still waits for this
    slot's `full` (it would see the next phase and wait forever) or still multiplies the tile. No
    fence: only tensor cores read the tile, through the same proxy that TMA writes it through.
    """
    gl.thread_barrier()
    mbarrier.arrive(ring[3].index(slot))
