"""One pass over the rows between two matrix products: residual, norm, modulation, GELU, quantizing.

A row is one token. What happens to it is chosen when the kernel is compiled, in this order:

1. ``h + gate * (y + bias)`` (residual of the branch that has just ended) or, without a branch,
   ``h + bias``, kept in the model's dtype; the bias is that of the linear before, which is
   faster here than in the matrix product's epilogue;
2. layer norm without weights, then ``* (1 + scale) + shift`` (adaLN-single, PixArt-alpha,
   arXiv:2310.00426); or GELU with tanh;
3. rounding to the model's dtype: what the unquantized model would hand to the next linear;
4. quantizing that as ``engine.quant.reference`` does, to the same codes and scales.

Bytes for rows of C bfloat16 values: 2 C for each of ``h``, ``y``, the new ``h`` and the rounded
row that is read or written, C for the codes. Operations are few: memory decides the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

_NONE, _FP8_ROWS, _INT8_ROWS, _AMAX = range(4)
_TENSOR_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class Wanted:
    """The outputs of a row pass, for the linears that follow.

    Attributes:
        plain: Whether any of them reads the row as it is.
        codes: dtype of the codes that the others read: an fp8 dtype or int8; None for no codes.
        per_tensor: Whether one scale covers all rows; else each row has its own.
    """

    plain: bool = True
    codes: torch.dtype | None = None
    per_tensor: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as the following linears read them.

    Attributes:
        plain: (rows, channels) in the model's dtype; None where nothing reads it.
        codes: (rows, channels), quantized; None where nothing reads them.
        scales: float32, (rows, 1) or one value; None without codes.
    """

    plain: Tensor | None
    codes: Tensor | None = None
    scales: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """The term added to the residual stream: ``gate * (y + bias)``.

    Attributes:
        y: (rows, channels).
        bias: (channels,) of the linear that made ``y``; None if it holds it already.
        gate: (batch, channels) per image, any row stride; None for 1.
    """

    y: Tensor
    bias: Tensor | None = None
    gate: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer norm without weights, then ``* (1 + scale) + shift``.

    Attributes:
        eps: Added to the variance.
        scale: (batch, channels), any row stride.
        shift: Likewise, with the same stride.
    """

    eps: float
    scale: Tensor
    shift: Tensor


def pass_rows(
    h: Tensor,
    wanted: Wanted,
    *,
    tokens: int,
    branch: Branch | None = None,
    norm: Norm | None = None,
    gelu: bool = False,
    bias: Tensor | None = None,
) -> tuple[Tensor, Rows]:
    """Runs the pass.

    Args:
        h: (rows, channels), contiguous: the residual stream, or any other rows.
        wanted: What the linears that follow read.
        tokens: Rows of one image.
        branch: What is added to ``h``.
        norm: Norm and modulation; None for neither.
        gelu: Whether GELU (tanh) is applied.
        bias: (channels,), added to ``h`` where there is no branch.

    Returns:
        The new residual stream (``h`` itself without a branch), and the rows to read.
    """
    width, keeps = h.shape[1], norm is None and not gelu and bias is None
    if keeps and branch is None and wanted.codes is None:
        return h, Rows(h)
    new_h = torch.empty_like(h) if branch is not None else h
    per_tensor = wanted.codes is not None and wanted.per_tensor
    plain = torch.empty_like(h) if (wanted.plain or per_tensor) and not keeps else None
    codes = None if wanted.codes is None else torch.empty_like(h, dtype=wanted.codes)
    new = torch.zeros if per_tensor else torch.empty
    scales = new(1 if per_tensor else h.shape[0], dtype=torch.float32, device=h.device)
    modulation = _modulation(branch, norm)
    head = 1 << (width.bit_length() - 1)
    rows_kernel[(h.shape[0],)](
        h,
        branch.y if branch else h,
        (branch.bias if branch else bias) if _has_bias(branch, bias) else h,
        branch.gate if branch and branch.gate is not None else h,
        norm.scale if norm else h,
        norm.shift if norm else h,
        new_h,
        h if plain is None else plain,
        h if codes is None else codes,
        scales,
        tokens,
        modulation,
        norm.eps if norm else 0.0,
        WIDTH=width,
        HEAD=head,
        TAIL=0 if head == width else triton.next_power_of_2(width - head),
        RESIDUAL=branch is not None,
        BIAS=_has_bias(branch, bias),
        GATED=branch is not None and branch.gate is not None,
        NORMED=norm is not None,
        MODULATED=norm is not None,
        GELU=gelu,
        EMIT_H=branch is not None,
        EMIT_X=plain is not None,
        QUANT=_quant(wanted),
        LARGEST=1.0 if wanted.codes in (None, torch.int8) else torch.finfo(wanted.codes).max,
        num_warps=2 if width <= 2048 else 4,
        # The reference rounds the product before it rounds to an integer.
        enable_fp_fusion=wanted.codes is not torch.int8,
    )
    return new_h, _read(new_h if keeps else plain, codes, scales, wanted)


def _read(x: Tensor | None, codes: Tensor | None, scales: Tensor, wanted: Wanted) -> Rows:
    if codes is None:
        return Rows(x)
    if not wanted.per_tensor:
        return Rows(x, codes, scales[:, None])
    assert x is not None
    scale = torch.empty((), dtype=torch.float32, device=x.device)
    tensor_quantize_kernel[(triton.cdiv(x.numel(), _TENSOR_BLOCK),)](
        x, codes, scale, scales, x.numel(),
        LARGEST=torch.finfo(codes.dtype).max, BLOCK=_TENSOR_BLOCK,
    )  # fmt: skip
    return Rows(x, codes, scale)


def _has_bias(branch: Branch | None, bias: Tensor | None) -> bool:
    return (branch.bias if branch else bias) is not None


def _modulation(branch: Branch | None, norm: Norm | None) -> int:
    """Elements from one image's modulation to the next; gate, scale and shift share it."""
    gate = branch.gate if branch else None
    known = [x for x in (gate, norm.scale if norm else None) if x is not None]
    strides = {x.stride(0) for x in known}
    assert len(strides) <= 1
    return strides.pop() if strides else 0


def _quant(wanted: Wanted) -> int:
    if wanted.codes is None:
        return _NONE
    if wanted.per_tensor:
        return _AMAX
    return _INT8_ROWS if wanted.codes is torch.int8 else _FP8_ROWS


@triton.jit
def _divide(x, y):
    # The compiler's own division is 2 ulp off, which moves codes at ties.
    return tl.math.div_rn(x, y)


@triton.jit
def _quotient(x, y, inverse):
    """x / y rounded correctly, from the correctly rounded inverse of y (Markstein 1990)."""
    q = x * inverse
    return tl.fma(tl.fma(-q, y, x), inverse, q)


@triton.jit
def _gelu(x):
    # 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    u = 1.5957691216057308 * (x + 0.044715 * x * x * x)
    return x / (1.0 + tl.exp(-u))


@triton.jit
def _fp8_scale(largest, LARGEST: tl.constexpr, dtype: tl.constexpr):
    """Amax / 448, rounded to the model's dtype as torchao does, with the reference's floor."""
    return tl.maximum(_divide(largest, LARGEST).to(dtype).to(tl.float32), 1e-12 / LARGEST)


@triton.jit
def _int8_scale(largest, dtype: tl.constexpr):
    scale = tl.maximum(_divide(largest, 127.5).to(dtype).to(tl.float32), 1.1920928955078125e-07)
    return tl.where(largest == largest, scale, largest)  # noqa: PLR0124 (a maximum forgets NaN)


@triton.jit
def _int8_codes(x, inverse):
    nearest_even = (x * inverse + 12582912.0) - 12582912.0
    return tl.clamp(nearest_even, -128.0, 127.0).to(tl.int8)


@triton.jit
def _residual(
    h_ptr,
    y_ptr,
    bias_ptr,
    gate_ptr,
    new_h_ptr,
    at,
    columns,
    mod_at,
    fits,
    RESIDUAL: tl.constexpr,
    BIAS: tl.constexpr,
    GATED: tl.constexpr,
    EMIT_H: tl.constexpr,
):
    dtype = h_ptr.dtype.element_ty
    h = tl.load(h_ptr + at, mask=fits, other=0.0).to(tl.float32)
    bias = 0.0
    if BIAS:
        bias = tl.load(bias_ptr + columns, mask=fits, other=0.0).to(tl.float32)
        if not RESIDUAL:
            h = (h + bias).to(dtype).to(tl.float32)
    if RESIDUAL:
        y = tl.load(y_ptr + at, mask=fits, other=0.0).to(tl.float32)
        if BIAS:
            y += bias
        if GATED:
            y *= tl.load(gate_ptr + mod_at, mask=fits, other=0.0).to(tl.float32)
        h = (h + y).to(dtype).to(tl.float32)
    if EMIT_H:
        tl.store(new_h_ptr + at, h.to(dtype), mask=fits)
    return h


@triton.jit
def _modulated(x, scale_ptr, shift_ptr, mod_at, fits, MODULATED: tl.constexpr):
    if MODULATED:
        scale = tl.load(scale_ptr + mod_at, mask=fits, other=0.0).to(tl.float32)
        shift = tl.load(shift_ptr + mod_at, mask=fits, other=0.0).to(tl.float32)
        x = x * (1.0 + scale) + shift
    return x


@triton.jit
def _emit(x_ptr, codes_ptr, x, at, fits, scale, inverse, EMIT_X: tl.constexpr, QUANT: tl.constexpr):
    if EMIT_X:
        tl.store(x_ptr + at, x.to(x_ptr.dtype.element_ty), mask=fits)
    if QUANT == 1:
        code = _quotient(x, scale, inverse).to(codes_ptr.dtype.element_ty)
        tl.store(codes_ptr + at, code, mask=fits)
    if QUANT == 2:
        tl.store(codes_ptr + at, _int8_codes(x, inverse), mask=fits)


@triton.jit
def rows_kernel(
    h_ptr,
    y_ptr,
    bias_ptr,
    gate_ptr,
    scale_ptr,
    shift_ptr,
    new_h_ptr,
    x_ptr,
    codes_ptr,
    scales_ptr,
    tokens,
    mod_stride,
    eps,
    WIDTH: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    RESIDUAL: tl.constexpr,
    BIAS: tl.constexpr,
    GATED: tl.constexpr,
    NORMED: tl.constexpr,
    MODULATED: tl.constexpr,
    GELU: tl.constexpr,
    EMIT_H: tl.constexpr,
    EMIT_X: tl.constexpr,
    QUANT: tl.constexpr,
    LARGEST: tl.constexpr,
):
    """One row; columns in two parts, powers of two: 1152 = 1024 + 128, 4608 = 4096 + 512."""
    row = tl.program_id(0).to(tl.int64)
    dtype = h_ptr.dtype.element_ty
    mod_row = (row // tokens) * mod_stride
    d = tl.arange(0, HEAD)
    fits = d < WIDTH
    at, mod_at = row * WIDTH + d, mod_row + d
    a = _residual(
        h_ptr, y_ptr, bias_ptr, gate_ptr, new_h_ptr, at, d, mod_at, fits,
        RESIDUAL, BIAS, GATED, EMIT_H,
    )  # fmt: skip
    b = a
    b_at, b_mod_at, b_fits = at, mod_at, fits
    if TAIL:
        e = HEAD + tl.arange(0, TAIL)
        b_fits = e < WIDTH
        b_at, b_mod_at = row * WIDTH + e, mod_row + e
        b = _residual(
            h_ptr, y_ptr, bias_ptr, gate_ptr, new_h_ptr, b_at, e, b_mod_at, b_fits,
            RESIDUAL, BIAS, GATED, EMIT_H,
        )  # fmt: skip
    if NORMED:
        total = tl.sum(a, 0)
        if TAIL:
            total += tl.sum(b, 0)
        mean = total / WIDTH
        a = tl.where(fits, a - mean, 0.0)
        squares = tl.sum(a * a, 0)
        if TAIL:
            b = tl.where(b_fits, b - mean, 0.0)
            squares += tl.sum(b * b, 0)
        inverse_std = tl.rsqrt(squares / WIDTH + eps)
        a = a * inverse_std
        b = b * inverse_std
    if GELU:
        a = _gelu(a)
        b = _gelu(b)
    a = _modulated(a, scale_ptr, shift_ptr, mod_at, fits, MODULATED).to(dtype).to(tl.float32)
    largest = tl.max(tl.where(fits, tl.abs(a), 0.0), 0)
    if TAIL:
        b = _modulated(b, scale_ptr, shift_ptr, b_mod_at, b_fits, MODULATED)
        b = b.to(dtype).to(tl.float32)
        largest = tl.maximum(largest, tl.max(tl.where(b_fits, tl.abs(b), 0.0), 0))
    scale = largest
    inverse = largest
    if QUANT == 1:
        scale = _fp8_scale(largest, LARGEST, dtype)
        inverse = _divide(1.0, scale)
        tl.store(scales_ptr + row, scale)
    if QUANT == 2:
        # Integers hold no NaN: the scale has to.
        largest += tl.sum(a * 0.0, 0)
        if TAIL:
            largest += tl.sum(b * 0.0, 0)
        scale = _int8_scale(largest, dtype)
        inverse = _divide(1.0, scale)
        tl.store(scales_ptr + row, scale)
    if QUANT == 3:
        tl.atomic_max(scales_ptr, largest)
    _emit(x_ptr, codes_ptr, a, at, fits, scale, inverse, EMIT_X, QUANT)
    if TAIL:
        _emit(x_ptr, codes_ptr, b, b_at, b_fits, scale, inverse, EMIT_X, QUANT)


@triton.jit
def tensor_quantize_kernel(
    x_ptr, codes_ptr, scale_ptr, amax_ptr, size, LARGEST: tl.constexpr, BLOCK: tl.constexpr
):
    """Codes under one scale for the whole tensor, whose largest magnitude is known."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    fits = at < size
    scale = _fp8_scale(tl.load(amax_ptr), LARGEST, x_ptr.dtype.element_ty)
    x = tl.load(x_ptr + at, mask=fits, other=0.0).to(tl.float32)
    code = _quotient(x, scale, _divide(1.0, scale)).to(codes_ptr.dtype.element_ty)
    tl.store(codes_ptr + at, code, mask=fits)
    if tl.program_id(0) == 0:
        tl.store(scale_ptr, scale)
