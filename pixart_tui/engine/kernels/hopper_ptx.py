"""Steps of the Hopper attention kernel that Gluon has no words for, in PTX.

Powers of two, by the instruction or, one in four, by a polynomial; and for fp8 the product of
probabilities with all columns of the values at once: a head of 72 channels takes 80, which is a
width of wgmma but not of Gluon. Its left factor are words of four codes, its sums tensors of 16
columns, its right factor is found by address.
"""

# ruff: noqa: RET505 - what follows a return of a constexpr branch would be compiled too

from __future__ import annotations

from typing import Final

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import warpgroup_mma_wait

_PERIOD: Final = 4
_POLYNOMIAL: Final = ("0f3E742625", "0f3F3414F7", "0f3F800E85")
"""Coefficients of 2**x in [-1/2, 1/2], highest power first; the relative error is 1.7e-3."""


@gluon.jit
def exp2(x):
    """2**x in one instruction; results below 2**-126 are 0."""
    return gl.inline_asm_elementwise(
        "ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=gl.float32, is_pure=True, pack=1
    )


@gluon.constexpr_function
def _exp2_text():
    """PTX for four powers of two, the last of them by the polynomial."""
    lines = [f"ex2.approx.ftz.f32 ${i}, ${i + _PERIOD};" for i in range(_PERIOD - 1)]
    lines += [
        f"max.f32 x, ${2 * _PERIOD - 1}, 0fC2FC0000;",  # -126: no smaller exponent exists
        "add.rn.f32 t, x, 0f4B400000;",  # 1.5 * 2^23: the low bits hold the rounded integer
        "sub.rn.f32 f, t, 0f4B400000;",
        "sub.rn.f32 f, x, f;",
        f"mov.f32 p, {_POLYNOMIAL[0]};",
        *(f"fma.rn.f32 p, p, f, {c};" for c in _POLYNOMIAL[1:]),
        "mov.b32 e, t;",
        "shl.b32 e, e, 23;",
        "mov.b32 m, p;",
        "add.s32 m, m, e;",
        f"mov.b32 ${_PERIOD - 1}, m;",
    ]
    return "{ .reg .f32 x, t, f, p; .reg .b32 e, m; " + " ".join(lines) + " }"


@gluon.constexpr_function
def _operands(outputs, tied, floats, words):
    """Constraints of an inline instruction: the tied inputs come first."""
    kinds = ["=" + kind for kind in outputs] + [str(i) for i in range(tied)]
    return ",".join(kinds + ["f"] * floats + ["r"] * words)


@gluon.jit
def exp2_shared(x):
    """2**x, one of four values by multiply-add: the unit that makes powers has less to do.

    The idea is FlashAttention-4's. Its error, 1.7e-3, is far below the 2^-4 of a rounding to e4m3.
    """
    return gl.inline_asm_elementwise(
        _exp2_text(),
        _operands("ffff", 0, 4, 0),
        [x],
        dtype=gl.float32,
        is_pure=True,
        pack=4,
    )


@gluon.constexpr_function
def _round_text():
    """PTX: 8 pieces of 16 columns, each 8 values of a thread, as left factors: 2 words a piece."""
    lines = []
    for piece in range(8):
        x = [f"${16 + 8 * piece + i}" for i in range(8)]
        for i in range(2):
            lines += [
                f"cvt.rn.satfinite.e4m3x2.f32 low, {x[2 * i + 1]}, {x[2 * i]};",
                f"cvt.rn.satfinite.e4m3x2.f32 high, {x[2 * i + 5]}, {x[2 * i + 4]};",
                f"mov.b32 ${2 * piece + i}, {{low, high}};",
            ]
    return "{ .reg .b16 low, high; " + " ".join(lines) + " }"


@gluon.jit
def _halves(x, LEVELS: gl.constexpr):
    """Splits the last dimensions (of 2) of a tensor into a tuple of tensors, in order."""
    if LEVELS == 0:
        return (x,)
    else:
        low, high = gl.split(x)
        return _halves(low, LEVELS - 1) + _halves(high, LEVELS - 1)


@gluon.jit
def _pieces(p, layout: gl.constexpr):
    """A tile (rows, 128) as 8 of 16 columns, without leaving the thread."""
    rows: gl.constexpr = p.shape[0]
    x = gl.permute(gl.reshape(p, [rows, 2, 2, 2, 16]), (0, 4, 3, 2, 1))
    x = _halves(x, 3)
    found = ()
    for i in gl.static_range(8):
        found = found + (gl.convert_layout(x[i], layout, assert_trivial=True),)  # type: ignore[assignment]
    return found


@gluon.jit
def e4m3_words(p, layout: gl.constexpr):
    """Probabilities (rows, 128) as left factors: words that stay whole on the way around the loop.

    A thread multiplies 4 neighboring columns, but owns two pairs that are 8 apart: the columns
    are renamed, `permute_keys` stores the values in the same order.
    """
    return gl.inline_asm_elementwise(
        _round_text(),
        _operands("r" * 16, 0, 64, 0),
        _pieces(p, layout),
        dtype=(gl.int32, gl.int32),
        is_pure=True,
        pack=8,
    )


@gluon.constexpr_function
def _product_text(parts):
    """PTX: 64 x 128 factors in registers times 16 * parts columns in shared memory."""
    count = 8 * parts
    sums = ", ".join(f"${i}" for i in range(count))
    at = 2 * count + 16
    # Rows are columns of the values, of 128 bytes, swizzled, 8 of them 1024 apart; a step is 32
    # bytes, and addresses count 16 of them.
    lines = [
        "setp.eq.u32 yes, 0, 0;",
        f"shr.u32 low, ${at}, 4; cvt.u64.u32 d, low; or.b64 d, d, {1 << 62 | 64 << 32:#x};",
        "wgmma.fence.sync.aligned;",
    ]
    for i in range(4):
        factor = ", ".join(f"${2 * count + 4 * i + j}" for j in range(4))
        lines += [
            f"wgmma.mma_async.sync.aligned.m64n{16 * parts}k32.f32.e4m3.e4m3 "
            f"{{{sums}}}, {{{factor}}}, d, yes, 1, 1;",
            "add.s64 d, d, 2;",
        ]
    lines.append("wgmma.commit_group.sync.aligned;")
    return "{ .reg .pred yes; .reg .b32 low; .reg .b64 d; " + " ".join(lines) + " }"


@gluon.jit
def issue_product(words, at, o):
    """Start o += probabilities times values (asynchronous) as one group of products.

    `o` is a tuple of tensors of 16 columns, 8 values a thread, `at` the address of a tile of values
    (columns, 128).
    """
    PARTS: gl.constexpr = len(o)
    where = gl.full([o[0].shape[0], 16], at, gl.int32, o[0].type.layout)
    return gl.inline_asm_elementwise(
        _product_text(PARTS),
        _operands("f" * (8 * PARTS), 8 * PARTS, 0, 24),
        o + words + (where,),
        dtype=(gl.float32,) * PARTS,
        is_pure=False,
        pack=8,
    )


@gluon.jit
def wait_product(o, words):
    """Wait for every product; they read the registers of `words` until then."""
    o = warpgroup_mma_wait(0, o)
    # No instruction, but a use of the words behind the wait.
    for i in gl.static_range(len(words)):
        gl.inline_asm_elementwise("", "=r,0", [words[i]], dtype=gl.int32, is_pure=False, pack=1)
    return o


@gluon.jit
def write_addresses():
    """Has every 1024 bytes of shared memory hold their own address.

    Gluon does not tell where a buffer lies; read from its start, it is known.
    """
    WARPS: gl.constexpr = gl.num_warps()
    index = gl.arange(0, 256, gl.BlockedLayout([1], [32], [WARPS], [0]))
    gl.inline_asm_elementwise(
        """{
        .reg .pred p;
        .reg .b32 size;
        shl.b32 $0, $1, 10;
        mov.u32 size, %dynamic_smem_size;
        setp.lt.u32 p, $0, size;
        mov.u32 size, global_smem;
        add.u32 $0, $0, size;
        @p st.shared.b32 [$0], $0;
        }""",
        "=r,r",
        [index],
        dtype=gl.int32,
        is_pure=False,
        pack=1,
    )
    gl.thread_barrier()


@gluon.jit
def read_address(buffer):
    """Where a buffer starts, after `write_addresses` and before anything else is written."""
    WARPS: gl.constexpr = gl.num_warps()
    plain: gl.constexpr = gl.SwizzledSharedLayout(1, 1, 1, [0])
    first = buffer.index(0)._reinterpret(gl.int32, [1], plain)
    found = gl.max(first.load(gl.BlockedLayout([1], [32], [WARPS], [0])), 0)
    gl.thread_barrier()
    return found
