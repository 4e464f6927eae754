"""Attention for Hopper (sm_90) in Gluon: the tensor cores work while the softmax runs.

FlashAttention-3's schedule (Shah et al. 2024, arXiv:2407.08608) for heads split into a power of two
and a tail, so that 72 columns cost 80, not 128. Tiles come through TMA; its bounds fill the missing
columns of the tail and the missing rows of the last tile with zeros.

The program is warp-specialized: a partition of one warp asks for tiles, and two consumers (one
warpgroup each) compute 64 rows each and share keys and values. They take turns in issuing products
(ping-pong), so that one multiplies while the other is at its softmax.

The loop of a consumer, tiles of keys taken last to first (only the last one can be partial):

    issue S = Q K(i)^T, then O += P V(i - 1)        both asynchronous
    wait for S; P' = softmax step of S              O is still under way
    wait for O; rescale O; P = P'

One call with B images, H heads, M queries, N keys and head size D does 4 B H M N D operations.
"""

from __future__ import annotations

from typing import Final

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)

ROWS: Final = 64
"""Queries of one consumer."""

KEYS: Final = 128
"""Keys of a tile."""

CONSUMERS: Final = 2
WARPS: Final = 4
"""Warps of one consumer."""

STAGES: Final = 3
"""Tiles of keys, and of values, in shared memory."""

LAUNCH_REGISTERS: Final = 168
"""Registers of a thread at launch; the partitions share them out anew."""

_SLOTS: gl.constexpr = gl.constexpr(STAGES)
_CONSUMERS: gl.constexpr = gl.constexpr(CONSUMERS)


@gluon.jit
def _exp2(x):
    """2**x in one instruction; results below 2**-126 are 0."""
    return gl.inline_asm_elementwise(
        "ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=gl.float32, is_pure=True, pack=1
    )


@gluon.jit
def _ring(desc, desc_tail, SLOTS: gl.constexpr, READERS: gl.constexpr, TAIL: gl.constexpr):
    """Shared memory for SLOTS tiles: heads, tails, and two barriers a slot.

    `full` completes a phase when the bytes of a tile are there (one arrival, that of `expect`).
    `empty` completes a phase when every reader is done with the tile.
    """
    head = gl.allocate_shared_memory(desc.dtype, [SLOTS] + desc.block_type.shape, desc.layout)
    if TAIL:
        tail = gl.allocate_shared_memory(
            desc.dtype, [SLOTS] + desc_tail.block_type.shape, desc_tail.layout
        )
    else:
        tail = head
    full = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    empty = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], mbarrier.MBarrierLayout())
    for slot in gl.static_range(SLOTS):
        mbarrier.init(full.index(slot), count=1)
        mbarrier.init(empty.index(slot), count=READERS)
    return head, tail, full, empty


@gluon.jit
def _fetch(descs, ring, image, head, row, slot, pred, TAIL: gl.constexpr, ACROSS: gl.constexpr):
    """Ask for the tile that starts at `row`; rows and columns out of bounds arrive as zeros.

    ACROSS: the tensor is stored transposed, (columns, rows).
    """
    desc, desc_tail = descs
    bar = ring[2].index(slot)
    nbytes: gl.constexpr = desc.block_type.nbytes
    if TAIL:
        mbarrier.expect(bar, nbytes + desc_tail.block_type.nbytes, pred=pred)
        start: gl.constexpr = desc.block_type.shape[2 if ACROSS else 3]
        at_tail = [image, head, start, row] if ACROSS else [image, head, row, start]
        tma.async_copy_global_to_shared(desc_tail, at_tail, bar, ring[1].index(slot), pred=pred)
    else:
        mbarrier.expect(bar, nbytes, pred=pred)
    at = [image, head, 0, row] if ACROSS else [image, head, row, 0]
    tma.async_copy_global_to_shared(desc, at, bar, ring[0].index(slot), pred=pred)


@gluon.jit
def _release(ring, slot):
    """Tell the loader that this partition is done with a tile.

    One thread arrives for all: the barrier before it makes sure that no warp still waits for this
    slot's `full` (it would see the next phase and wait forever) or still multiplies the tile. No
    fence: only tensor cores read the tile, through the same proxy that TMA writes it through.
    """
    gl.thread_barrier()
    mbarrier.arrive(ring[3].index(slot))


@gluon.jit
def _matrix(buffer, slot):
    tile = buffer.index(slot)
    return tile.reshape([tile.shape[2], tile.shape[3]])


@gluon.jit
def _issue_scores(q, k, row, slot, layout: gl.constexpr, TAIL: gl.constexpr):
    """Start queries times keys (asynchronous): one group of products, or two with a tail."""
    rows: gl.constexpr = q[0].shape[3]
    keys: gl.constexpr = k[0].shape[3]
    s = gl.zeros([rows, keys], gl.float32, layout)
    key = _matrix(k[0], slot).permute((1, 0))
    s = warpgroup_mma(_matrix(q[0], row), key, s, use_acc=False, is_async=True)
    if TAIL:
        key_tail = _matrix(k[1], slot).permute((1, 0))
        s = warpgroup_mma(_matrix(q[1], row), key_tail, s, is_async=True)
    return s


@gluon.jit
def _issue_values(p, v, slot, o, o_tail, TAIL: gl.constexpr, FP8: gl.constexpr):
    """Start output += probabilities times values (asynchronous): as many groups."""
    order: gl.constexpr = (1, 0) if FP8 else (0, 1)
    layout: gl.constexpr = gl.DotOperandLayout(0, o_tail.type.layout, 4 if FP8 else 2)
    o = warpgroup_mma(p, _matrix(v[0], slot).permute(order), o, is_async=True)
    if TAIL:
        p_tail = gl.convert_layout(p, layout, assert_trivial=True)
        value_tail = _matrix(v[1], slot).permute(order)
        o_tail = warpgroup_mma(p_tail, value_tail, o_tail, is_async=True)
    return o, o_tail


@gluon.jit
def _wait_output(o, o_tail, p, TAIL: gl.constexpr):
    """Wait for every product; they read the registers of `p`, which stay as they are until then."""
    if TAIL:
        o, o_tail = warpgroup_mma_wait(0, (o, o_tail))
    else:
        o = warpgroup_mma_wait(0, (o,))
    # No instruction, but a use of `p` behind the wait.
    PACK: gl.constexpr = 32 // p.dtype.primitive_bitwidth
    gl.inline_asm_elementwise("", "=r,0", [p], dtype=p.dtype, is_pure=False, pack=PACK)
    return o, o_tail


@gluon.jit
def _rescale(o, shrink):
    rows: gl.constexpr = gl.SliceLayout(1, o.type.layout)
    return o * gl.convert_layout(shrink, rows, assert_trivial=True)[:, None]


@gluon.jit
def _round_e4m3(x):
    """Four neighbours at a time, so that they leave in one register."""
    return gl.inline_asm_elementwise(
        """{
        .reg .b16 low, high;
        cvt.rn.satfinite.e4m3x2.f32 low, $2, $1;
        cvt.rn.satfinite.e4m3x2.f32 high, $4, $3;
        mov.b32 $0, {low, high};
        }""",
        "=r,f,f,f,f",
        [x],
        dtype=gl.float8e4nv,
        is_pure=True,
        pack=4,
    )


@gluon.jit
def _operand(p, dtype: gl.constexpr, layout: gl.constexpr):
    """Probabilities as the left factor of the product with values, without leaving the thread.

    With 8 bits a thread multiplies 4 neighbouring columns, but owns two pairs that are 8 apart:
    the columns are renamed, `permute_keys` stores the values in the same order.
    """
    if dtype == gl.float8e4nv:
        ROWS: gl.constexpr = p.shape[0]
        KEYS: gl.constexpr = p.shape[1]
        pairs = gl.permute(gl.reshape(p, [ROWS, KEYS // 16, 2, 4, 2]), (0, 1, 3, 2, 4))
        p = gl.convert_layout(gl.reshape(pairs, [ROWS, KEYS]), layout, assert_trivial=True)
        return _round_e4m3(p)
    return gl.convert_layout(p.to(dtype), layout, assert_trivial=True)


@gluon.jit
def _partial_sum(p):
    """Sums of every eighth column (rows, 8): what a thread adds up without the others."""
    return gl.sum(gl.reshape(p, [p.shape[0], p.shape[1] // 8, 8]), 1)


@gluon.jit
def _store(out, o, total, first, queries, columns, START: gl.constexpr, WIDTH: gl.constexpr):
    """Write the rows and columns that exist, divided by the sums of the probabilities."""
    layout: gl.constexpr = o.type.layout
    m = first + gl.arange(0, o.shape[0], gl.SliceLayout(1, layout))
    d = START + gl.arange(0, o.shape[1], gl.SliceLayout(0, layout))
    o = _rescale(o, 1.0 / total).to(out.dtype.element_ty)
    at = out + m.to(gl.int64)[:, None] * columns + d[None, :]
    gl.store(at, o, mask=(m < queries)[:, None] & (d < WIDTH)[None, :])


@gluon.jit
def _load(work, tiles, TAIL: gl.constexpr):
    """The partition that only asks for tiles, in the order in which they are needed."""
    k_descs, v_descs, k, v, image, head = work
    STAGES: gl.constexpr = k[0].shape[0]
    BLOCK_N: gl.constexpr = k[0].shape[3]
    FP8: gl.constexpr = k[0].dtype == gl.float8e4nv
    for i in range(tiles):
        slot = i % STAGES
        row = (tiles - 1 - i) * BLOCK_N
        # A new barrier counts as having completed a phase of parity 1: no wait in the first round.
        parity = ((i // STAGES) & 1) ^ 1
        mbarrier.wait(k[3].index(slot), parity)
        _fetch(k_descs, k, image, head, row, slot, True, TAIL, False)
        mbarrier.wait(v[3].index(slot), parity)
        _fetch(v_descs, v, image, head, row, slot, True, TAIL, FP8)


@gluon.jit
def _compute(
    work,
    ours,
    INDEX: gl.constexpr,
    TAIL: gl.constexpr,
    WIDTH: gl.constexpr,
    EVEN: gl.constexpr,
):
    """Part INDEX of the program's rows of queries against all keys."""
    _, _, k, v, _, _ = work
    q, turns, out, first, queries, keys, columns, factor, unit = ours
    STAGES: gl.constexpr = k[0].shape[0]
    ROWS: gl.constexpr = q[0].shape[3]
    BLOCK_N: gl.constexpr = k[0].shape[3]
    HEAD: gl.constexpr = q[0].shape[4]
    dtype: gl.constexpr = k[0].dtype
    FP8: gl.constexpr = dtype == gl.float8e4nv
    O_TAIL: gl.constexpr = v[1].shape[3 if FP8 else 4] if TAIL else 16
    DEPTH: gl.constexpr = 32 if FP8 else 16
    # Probabilities up to 256 lose less in e4m3; the sums are as much larger.
    LIFT: gl.constexpr = 8.0 if FP8 else 0.0
    WARPS: gl.constexpr = gl.num_warps()
    s_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [WARPS, 1], [16, BLOCK_N, DEPTH])
    o_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [WARPS, 1], [16, HEAD, DEPTH])
    t_layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [WARPS, 1], [16, O_TAIL, DEPTH])
    p_layout: gl.constexpr = gl.DotOperandLayout(0, o_layout, 4 if FP8 else 2)
    YOUNGER: gl.constexpr = 2 if TAIL else 1
    tiles = gl.cdiv(keys, BLOCK_N)
    first += INDEX * ROWS
    o = gl.zeros([ROWS, HEAD], gl.float32, o_layout)
    o_tail = gl.zeros([ROWS, O_TAIL], gl.float32, t_layout)

    mbarrier.wait(q[2].index(INDEX), 0)
    mbarrier.wait(k[2].index(0), 0)
    s = warpgroup_mma_wait(0, (_issue_scores(q, k, INDEX, 0, s_layout, TAIL),))
    _release(k, 0)
    if not EVEN:
        n = (tiles - 1) * BLOCK_N + gl.arange(0, BLOCK_N, gl.SliceLayout(0, s_layout))
        s = gl.where((n < keys)[None, :], s, float("-inf"))
    largest = gl.max(s, 1)
    p = _exp2(s * factor - (largest * factor - LIFT)[:, None])
    total = _partial_sum(p)
    # 16-bit factors wait for their product as they are; packed bytes would come apart on the way
    # around the loop, so probabilities are rounded to 8 bits only where they are multiplied.
    p_next = p if FP8 else _operand(p, dtype, p_layout)
    mbarrier.wait(k[2].index(1 % STAGES), (1 // STAGES) & 1, pred=tiles > 1)

    for i in range(1, tiles):
        slot = i % STAGES
        old = (i - 1) % STAGES
        # Phase i - 1 of a turn is this partition's; the first one has the first turn.
        turn = (i - 1) & 1
        mbarrier.wait(turns.index(INDEX), turn if INDEX else turn ^ 1)
        # The keys of tile i have been waited for at the end of the previous round.
        s_new = _issue_scores(q, k, INDEX, slot, s_layout, TAIL)
        p_old = _operand(p_next, dtype, p_layout) if FP8 else p_next
        mbarrier.wait(v[2].index(old), ((i - 1) // STAGES) & 1)
        o_new, t_new = _issue_values(p_old, v, old, o, o_tail, TAIL, FP8)
        gl.thread_barrier()
        mbarrier.arrive(turns.index((INDEX + 1) % _CONSUMERS))
        # Groups complete in order: this leaves only the product with values under way.
        s = warpgroup_mma_wait(YOUNGER, (s_new,))
        _release(k, slot)
        largest_new = gl.maximum(largest, gl.max(s, 1))
        shift = largest_new * factor
        p = _exp2(s * factor - (shift - LIFT)[:, None])
        shrink = _exp2(largest * factor - shift)
        total = _rescale(total, shrink) + _partial_sum(p)
        largest = largest_new
        # The branches of this wait keep ptxas from moving the softmax behind the next one.
        mbarrier.wait(k[2].index((i + 1) % STAGES), ((i + 1) // STAGES) & 1, pred=i + 1 < tiles)
        o, o_tail = _wait_output(o_new, t_new, p_old, TAIL)
        _release(v, old)
        o = _rescale(o, shrink)
        o_tail = _rescale(o_tail, shrink)
        p_next = p if FP8 else _operand(p, dtype, p_layout)

    last = (tiles - 1) % STAGES
    mbarrier.wait(v[2].index(last), ((tiles - 1) // STAGES) & 1)
    p_old = _operand(p_next, dtype, p_layout) if FP8 else p_next
    o_new, t_new = _issue_values(p_old, v, last, o, o_tail, TAIL, FP8)
    o, o_tail = _wait_output(o_new, t_new, p_old, TAIL)
    total = gl.sum(total, 1) * unit
    _store(out, o, total, first, queries, columns, 0, WIDTH)
    if TAIL:
        _store(out, o_tail, total, first, queries, columns, HEAD, WIDTH)


@gluon.jit(do_not_specialize=["queries", "keys", "heads"])
def attention_kernel(
    q_desc,
    q_tail_desc,
    k_desc,
    k_tail_desc,
    v_desc,
    v_tail_desc,
    out_ptr,
    queries,
    keys,
    heads,
    factor,
    unit,
    WIDTH: gl.constexpr,
    TAIL: gl.constexpr,
    EVEN: gl.constexpr,
):
    """Consecutive rows of queries of one head of one image, all its keys; see the module."""
    ROWS: gl.constexpr = q_desc.block_type.shape[2]
    BLOCK_N: gl.constexpr = k_desc.block_type.shape[2]
    image = gl.program_id(1) // heads
    head = gl.program_id(1) % heads
    first = gl.program_id(0) * (ROWS * _CONSUMERS)
    tiles = gl.cdiv(keys, BLOCK_N)
    columns = heads * WIDTH
    out = out_ptr + image.to(gl.int64) * queries * columns + head * WIDTH
    k_descs = (k_desc, k_tail_desc)
    v_descs = (v_desc, v_tail_desc)
    q = _ring(q_desc, q_tail_desc, _CONSUMERS, 1, TAIL)
    k = _ring(k_desc, k_tail_desc, _SLOTS, _CONSUMERS, TAIL)
    v = _ring(v_desc, v_tail_desc, _SLOTS, _CONSUMERS, TAIL)
    turns = gl.allocate_shared_memory(gl.int64, [_CONSUMERS, 1], mbarrier.MBarrierLayout())
    for part in gl.static_range(_CONSUMERS):
        mbarrier.init(turns.index(part), count=1)
    # TMA completes barriers through the asynchronous proxy: it must see them initialised.
    fence_async_shared()
    for part in gl.static_range(_CONSUMERS):
        _fetch((q_desc, q_tail_desc), q, image, head, first + part * ROWS, part, True, TAIL, False)
    work = (k_descs, v_descs, k, v, image, head)
    ours = (q, turns, out, first, queries, keys, columns, factor, unit)
    gl.warp_specialize(
        [
            (_compute, (work, ours, 0, TAIL, WIDTH, EVEN)),
            (_compute, (work, ours, 1, TAIL, WIDTH, EVEN)),
            (_load, (work, tiles, TAIL)),
        ],
        [4, 1],
        [240, 24],
    )
