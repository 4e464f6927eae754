"""Attention for Hopper (sm_90) in Gluon: the tensor cores work while the softmax runs.

FlashAttention-3's schedule (Shah et al. 2024, arXiv:2407.08608) with persistent programs, one for
each multiprocessor. A job is 128 rows of queries of one head of one image, against all its keys; a
program does one after the other, and the tiles of the next one arrive while the last one ends.
Tiles come through TMA; its bounds fill missing columns, and the missing rows of the last tile,
with zeros.

The program is warp-specialized: a partition of one warp asks for tiles, and two consumers (one
warpgroup each) compute 64 rows each and share keys and values. They take turns in issuing products
(ping-pong), so that one multiplies while the other is at its softmax.

The loop of a consumer, tiles of keys taken last to first (only the last one can be partial):

    issue S = Q K(i)^T, then O += P V(i - 1)        both asynchronous
    wait for S; P' = softmax step of S              O is still under way
    wait for O; rescale O; P = P'

Heads are split into a power of two and a tail, so that 72 channels cost 80 columns, not 128. In
bf16 the products with values are split like that too. In fp8 they are one product, in PTX
(`hopper_ptx`), and one of four powers of two is a polynomial with a relative error of 1.7e-3.

Neither paid in bf16 on an H100, whose power limit holds the clock down there, and neither did
rescaling O only when a maximum grew much; sums made by the tensor cores from e4m3 probabilities
were 3% faster and 2.5 times less exact. See benchmarks/results/speed/h100-attention-variants.json.

One call with B images, H heads, M queries, N keys and head size D does 4 B H M N D operations.
"""

# ruff: noqa: RET505, SIM108, SIM113 - what follows a return of a constexpr branch would be compiled too

from __future__ import annotations

from typing import Final

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from pixart_tui.engine.kernels.hopper_ptx import (
    e4m3_words,
    exp2,
    exp2_shared,
    issue_product,
    read_address,
    wait_product,
    write_addresses,
)
from pixart_tui.engine.kernels.hopper_tiles import allocate, fetch, release, ring_of, wait_for

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

_ROWS: gl.constexpr = gl.constexpr(ROWS)
_KEYS: gl.constexpr = gl.constexpr(KEYS)
_SLOTS: gl.constexpr = gl.constexpr(STAGES)
_CONSUMERS: gl.constexpr = gl.constexpr(CONSUMERS)


@gluon.jit
def _place(job, plan):
    """Image, head and first row of queries of a job."""
    blocks, _, heads = plan
    return job // blocks // heads, job // blocks % heads, job % blocks * (_ROWS * _CONSUMERS)


@gluon.jit
def _load_keys(work, image, head, tiles, done, TAIL: gl.constexpr, FP8: gl.constexpr):
    """Asks for all tiles of one head, in the order in which they are needed.

    `done`: how many tiles have passed through the rings before.
    """
    _, k_descs, v_descs, _, k, v = work
    for i in range(tiles):
        slot = (done + i) % _SLOTS
        row = (tiles - 1 - i) * _KEYS
        # A new barrier counts as having completed a phase of parity 1: no wait in the first round.
        parity = (((done + i) // _SLOTS) & 1) ^ 1
        mbarrier.wait(k[3].index(slot), parity)
        fetch(k_descs, k, image, head, row, slot, TAIL, False)
        mbarrier.wait(v[3].index(slot), parity)
        fetch(v_descs, v, image, head, row, slot, TAIL and not FP8, FP8)


@gluon.jit
def _load(work, plan, tiles, TAIL: gl.constexpr, FP8: gl.constexpr):
    """The partition that only asks for tiles."""
    q_descs, _, _, q, _, _ = work
    nth = 0
    for job in range(gl.program_id(0), plan[1], gl.num_programs(0)):
        image, head, first = _place(job, plan)
        for part in gl.static_range(_CONSUMERS):
            mbarrier.wait(q[3].index(part), (nth & 1) ^ 1)
            fetch(q_descs, q, image, head, first + part * _ROWS, part, TAIL, False)
        _load_keys(work, image, head, tiles, nth * tiles, TAIL, FP8)
        nth += 1


@gluon.constexpr_function
def _sums(columns, fp8, warps):
    """The layout of sums of products."""
    return gl.NVMMADistributedLayout([3, 0], [warps, 1], [16, columns, 32 if fp8 else 16])


@gluon.jit
def _matrix(buffer, slot):
    tile = buffer.index(slot)
    return tile.reshape([tile.shape[2], tile.shape[3]])


@gluon.jit
def _issue_scores(q, k, row, slot, TAIL: gl.constexpr, FP8: gl.constexpr):
    """Start queries times keys (asynchronous): one group of products, or two with a tail."""
    s = gl.zeros([_ROWS, _KEYS], gl.float32, _sums(_KEYS, FP8, gl.num_warps()))
    key = _matrix(k[0], slot).permute((1, 0))
    s = warpgroup_mma(_matrix(q[0], row), key, s, use_acc=False, is_async=True)
    if TAIL:
        key_tail = _matrix(k[1], slot).permute((1, 0))
        s = warpgroup_mma(_matrix(q[1], row), key_tail, s, is_async=True)
    return s


@gluon.jit
def _only_keys(s, first, keys):
    """Scores of a tile whose first key is `first`; nothing counts beyond `keys`."""
    n = first + gl.arange(0, _KEYS, gl.SliceLayout(0, s.type.layout))
    return gl.where((n < keys)[None, :], s, float("-inf"))


@gluon.jit
def _numerators(s, largest, factor, FP8: gl.constexpr):
    """Probabilities not yet divided by their sum; in fp8 up to 256, which loses less in e4m3."""
    if FP8:
        return exp2_shared(s * factor - (largest * factor - 8.0)[:, None])
    else:
        return exp2(s * factor - (largest * factor)[:, None])


@gluon.jit
def _partial_sum(p):
    """Sums of every eighth column (rows, 8): what a thread adds up without the others."""
    return gl.sum(gl.reshape(p, [p.shape[0], p.shape[1] // 8, 8]), 1)


@gluon.jit
def _zeros(columns: gl.constexpr, FP8: gl.constexpr):
    return gl.zeros([_ROWS, columns], gl.float32, _sums(columns, FP8, gl.num_warps()))


@gluon.jit
def _no_output(v, WIDTH: gl.constexpr, TAIL: gl.constexpr, FP8: gl.constexpr):
    """The output's sums: in fp8 16 columns a tensor, else a head and perhaps a tail."""
    COUNT: gl.constexpr = (WIDTH + 15) // 16 if FP8 else (2 if TAIL else 1)
    o = ()
    for i in gl.static_range(COUNT):
        o = o + (_zeros(16 if FP8 else v[i].shape[4], FP8),)  # type: ignore[assignment]
    return o


@gluon.jit
def _factors(p, o, FP8: gl.constexpr):
    """Probabilities as left factors of the product that adds to `o`, without leaving the thread."""
    layout: gl.constexpr = o[0].type.layout
    if FP8:
        return e4m3_words(p, layout)
    else:
        operand: gl.constexpr = gl.DotOperandLayout(0, layout, 2)
        return (gl.convert_layout(p.to(gl.bfloat16), operand, assert_trivial=True),)


@gluon.jit
def _multiply(p, value, o):
    """Start o += p value, of 16 bits (asynchronous)."""
    layout: gl.constexpr = gl.DotOperandLayout(0, o.type.layout, 2)
    p = gl.convert_layout(p, layout, assert_trivial=True)
    return warpgroup_mma(p, value, o, is_async=True)


@gluon.jit
def _issue_values(p, v, at, slot, o, FP8: gl.constexpr):
    """Start o += probabilities times values (asynchronous): a group for each product."""
    if FP8:
        nbytes: gl.constexpr = v[0].shape[3] * v[0].shape[4]
        return issue_product(p, at + slot * nbytes, o)
    else:
        found = ()
        for i in gl.static_range(len(o)):
            product = _multiply(p[0], _matrix(v[i], slot), o[i])
            found = found + (product,)  # type: ignore[assignment]
        return found


@gluon.jit
def _wait_output(o, p, FP8: gl.constexpr):
    """Wait for every product; they read the registers of `p`, which stay as they are until then."""
    if FP8:
        return wait_product(o, p)
    else:
        if len(o) == 1:
            found = (warpgroup_mma_wait(0, o),)
        else:
            found = warpgroup_mma_wait(0, o)
        # No instruction, but a use of `p` behind the wait.
        gl.inline_asm_elementwise("", "=r,0", [p[0]], dtype=gl.bfloat16, is_pure=False, pack=2)
        return found


@gluon.jit
def _rescale(o, shrink):
    rows: gl.constexpr = gl.SliceLayout(1, o.type.layout)
    return o * gl.convert_layout(shrink, rows, assert_trivial=True)[:, None]


@gluon.jit
def _rescale_all(o, shrink):
    found = ()
    for i in gl.static_range(len(o)):
        found = found + (_rescale(o[i], shrink),)  # type: ignore[assignment]
    return found


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
def _take_turn(turns, nth, INDEX: gl.constexpr):
    """Wait for this partition's `nth` turn; the first partition has the first one."""
    turn = nth & 1
    mbarrier.wait(turns.index(INDEX), turn if INDEX else turn ^ 1)


@gluon.jit
def _pass_turn(turns, INDEX: gl.constexpr):
    gl.thread_barrier()
    mbarrier.arrive(turns.index((INDEX + 1) % _CONSUMERS))


@gluon.jit
def _attend(
    work,
    ours,
    job,
    nth,
    INDEX: gl.constexpr,
    TAIL: gl.constexpr,
    WIDTH: gl.constexpr,
    EVEN: gl.constexpr,
    FP8: gl.constexpr,
):
    """Part INDEX of a job's rows of queries against all keys, the program's `nth` job."""
    _, _, _, q, k, v = work
    plan, turns, out, queries, keys, factor, unit, at = ours
    image, head, first = _place(job, plan)
    tiles = gl.cdiv(keys, _KEYS)
    done = nth * tiles  # have passed through the rings
    o = _no_output(v, WIDTH, TAIL, FP8)

    mbarrier.wait(q[2].index(INDEX), nth & 1)
    slot = wait_for(k, done)
    s = warpgroup_mma_wait(0, (_issue_scores(q, k, INDEX, slot, TAIL, FP8),))
    release(k, slot)
    if not EVEN:
        s = _only_keys(s, (tiles - 1) * _KEYS, keys)
    largest = gl.max(s, 1)
    p = _numerators(s, largest, factor, FP8)
    total = _partial_sum(p)
    p_next = _factors(p, o, FP8)
    wait_for(k, done + 1, tiles > 1)

    for i in range(1, tiles):
        _take_turn(turns, nth * (tiles - 1) + i - 1, INDEX)
        # The keys of tile i have been waited for at the end of the previous round.
        slot = (done + i) % _SLOTS
        s_new = _issue_scores(q, k, INDEX, slot, TAIL, FP8)
        old = wait_for(v, done + i - 1)
        o_new = _issue_values(p_next, v, at, old, o, FP8)
        _pass_turn(turns, INDEX)
        # Groups complete in order: this leaves only the product with values under way.
        s = warpgroup_mma_wait(1 if FP8 else len(o), (s_new,))
        release(k, slot)
        largest_new = gl.maximum(largest, gl.max(s, 1))
        p = _numerators(s, largest_new, factor, FP8)
        shrink = exp2(largest * factor - largest_new * factor)
        total = _rescale(total, shrink) + _partial_sum(p)
        largest = largest_new
        # The branches of this wait keep ptxas from moving the softmax behind the next one.
        wait_for(k, done + i + 1, i + 1 < tiles)
        o = _wait_output(o_new, p_next, FP8)
        release(v, old)
        o = _rescale_all(o, shrink)
        p_next = _factors(p, o, FP8)

    release(q, INDEX)
    last = wait_for(v, done + tiles - 1)
    o = _wait_output(_issue_values(p_next, v, at, last, o, FP8), p_next, FP8)
    release(v, last)
    total = gl.sum(total, 1) * unit
    columns = plan[2] * WIDTH
    out += image.to(gl.int64) * queries * columns + head * WIDTH
    first += INDEX * _ROWS
    for i in gl.static_range(len(o)):
        _store(out, o[i], total, first, queries, columns, i * o[0].shape[1], WIDTH)


@gluon.jit
def _compute(
    work,
    ours,
    INDEX: gl.constexpr,
    TAIL: gl.constexpr,
    WIDTH: gl.constexpr,
    EVEN: gl.constexpr,
    FP8: gl.constexpr,
):
    """A partition that computes."""
    nth = 0
    for job in range(gl.program_id(0), ours[0][1], gl.num_programs(0)):
        _attend(work, ours, job, nth, INDEX, TAIL, WIDTH, EVEN, FP8)
        nth += 1


@gluon.jit(do_not_specialize=["queries", "keys", "heads", "count"])
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
    count,
    factor,
    unit,
    WIDTH: gl.constexpr,
    TAIL: gl.constexpr,
    EVEN: gl.constexpr,
):
    """`count` jobs, shared out among the programs; see the module."""
    FP8: gl.constexpr = k_desc.dtype == gl.float8e4nv
    blocks = gl.cdiv(queries, _ROWS * _CONSUMERS)
    tiles = gl.cdiv(keys, _KEYS)
    v_buffers = allocate(v_desc, v_tail_desc, _SLOTS, TAIL and not FP8)
    at = 0
    if FP8:
        # Before barriers are initialized, which may lie where addresses are written.
        write_addresses()
        at = read_address(v_buffers[0])
    v = ring_of(v_buffers, _SLOTS, _CONSUMERS)
    q = ring_of(allocate(q_desc, q_tail_desc, _CONSUMERS, TAIL), _CONSUMERS, 1)
    k = ring_of(allocate(k_desc, k_tail_desc, _SLOTS, TAIL), _SLOTS, _CONSUMERS)
    turns = gl.allocate_shared_memory(gl.int64, [_CONSUMERS, 1], mbarrier.MBarrierLayout())
    for part in gl.static_range(_CONSUMERS):
        mbarrier.init(turns.index(part), count=1)
    # TMA completes barriers through the asynchronous proxy: it must see them initialized.
    fence_async_shared()
    work = ((q_desc, q_tail_desc), (k_desc, k_tail_desc), (v_desc, v_tail_desc), q, k, v)
    plan = (blocks, count, heads)
    ours = (plan, turns, out_ptr, queries, keys, factor, unit, at)
    gl.warp_specialize(
        [
            (_compute, (work, ours, 0, TAIL, WIDTH, EVEN, FP8)),
            (_compute, (work, ours, 1, TAIL, WIDTH, EVEN, FP8)),
            (_load, (work, plan, tiles, TAIL, FP8)),
        ],
        [4, 1],
        [240, 24],
    )
