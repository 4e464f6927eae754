"""Linear layers that read the same rows, run in as few matrix products as their kinds allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.fused.packing import packed_rows
from pixart_tui.engine.kernels.int8_matmul import int8_matmul
from pixart_tui.engine.kernels.rows import Rows, Wanted

_FP8_DTYPES: Final = (torch.float8_e4m3fn, torch.float8_e5m2)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a linear computes; linears of one kind can share a matrix product.

    Attributes:
        codes: dtype of the activation's codes; None where it reads plain rows.
        per_tensor: Whether one scale covers the activation, and one the weight.
        weight: dtype of the weight's codes.
        opaque: Whether only the module itself knows how (weight-only types).
    """

    codes: torch.dtype | None = None
    per_tensor: bool = False
    weight: torch.dtype | None = None
    opaque: bool = False


_PLAIN: Final = _Kind()
_OPAQUE: Final = _Kind(opaque=True)


class LinearGroup:
    """Linears that share their input.

    Args:
        linears: Plain ones, and those that ``quantize_layers`` has made real quantized ones.
        fast_accum: Whether fp8 products may keep their sums at the tensor cores' precision.

    Attributes:
        wanted: What the rows must hold.

    Raises:
        RequestError: The linears want activations in more than one quant type.
    """

    def __init__(self, linears: Sequence[nn.Linear], *, fast_accum: bool = True) -> None:
        kinds = [_kind(linear) for linear in linears]
        self._count = len(linears)
        self.wanted = _wanted(kinds)
        self._products: list[tuple[list[int], _Product]] = []
        for indices in _shared(kinds):
            kind, members = kinds[indices[0]], [linears[i] for i in indices]
            self._products.append((indices, _Product(kind, members, fast_accum)))

    def __call__(self, rows: Rows, *, bias: bool = True) -> list[Tensor]:
        """Each linear's output, (rows, N), perhaps a view with a longer row stride.

        Args:
            rows: Made with this group's ``wanted``.
            bias: False leaves the biases out, for a later kernel to add.
        """
        outputs: list[Tensor | None] = [None] * self._count
        for indices, product in self._products:
            for index, output in zip(indices, product(rows, bias), strict=True):
                outputs[index] = output
        return cast(list[Tensor], outputs)


class SingleLinear:
    """One linear, whose bias may be left to the kernel that reads its output.

    Args:
        linear: Plain, or made real quantized by ``quantize_layers``.
        fast_accum: As in ``LinearGroup``.

    Attributes:
        wanted: What the rows must hold.
        bias: (N,), what a later kernel has to add; None where the output holds it already.
    """

    def __init__(self, linear: nn.Linear, *, fast_accum: bool = True) -> None:
        self._group = LinearGroup([linear], fast_accum=fast_accum)
        self.wanted = self._group.wanted
        self._is_plain = _kind(linear) == _PLAIN
        self._linear = linear
        opaque = _kind(linear).opaque
        self.bias: Tensor | None = None if opaque else linear.bias

    @property
    def is_plain(self) -> bool:
        """Whether the linear is not quantized."""
        return self._is_plain

    def __call__(self, rows: Rows) -> Tensor:
        """(rows, N), without the bias."""
        return self._group(rows, bias=self.bias is None)[0]

    def with_gelu(self, rows: Rows) -> Tensor:
        """GELU (tanh) of the output with its bias, in one product; only where it is plain."""
        assert rows.plain is not None
        assert self._linear.bias is not None
        fused = torch._addmm_activation  # cuBLASLt's epilogue: bias, then GELU with tanh
        return fused(self._linear.bias, rows.plain, self._linear.weight.t(), use_gelu=True)


class _Product:
    """One matrix product for linears of one kind; their weights become views of one tensor."""

    def __init__(self, kind: _Kind, linears: Sequence[nn.Linear], fast_accum: bool) -> None:
        self._kind, self._linears, self._fast_accum = kind, linears, fast_accum
        self._widths = [linear.out_features for linear in linears]
        if kind.opaque:
            return
        self._weight = _packed(linears, kind)
        self._scale = None if kind == _PLAIN else _packed_scale(linears)
        self._bias = _packed_bias(linears)

    def __call__(self, rows: Rows, bias: bool) -> Iterable[Tensor]:
        if self._kind.opaque:
            return [linear(rows.plain) for linear in self._linears]
        output = self._multiply(rows, self._bias if bias else None)
        return torch.split(output, self._widths, dim=1) if len(self._widths) > 1 else [output]

    def _multiply(self, rows: Rows, bias: Tensor | None) -> Tensor:
        if self._kind == _PLAIN:
            assert rows.plain is not None
            return functional.linear(rows.plain, self._weight, bias)
        assert rows.codes is not None
        assert rows.scales is not None
        assert self._scale is not None
        if self._kind.codes is torch.int8:
            args = (rows.codes, self._weight, rows.scales, self._scale)
            return int8_matmul(*args, bias, torch.bfloat16)
        return torch._scaled_mm(
            rows.codes,
            self._weight.t(),
            rows.scales,
            self._scale.reshape(()) if self._kind.per_tensor else self._scale.t(),
            bias=bias,
            out_dtype=torch.bfloat16,
            use_fast_accum=self._fast_accum,
        )


def _kind(linear: nn.Linear) -> _Kind:
    weight = cast(Any, linear.weight)
    if type(weight) is nn.Parameter:
        return _PLAIN
    act = getattr(weight, "act_quant_kwargs", None)
    if act is None:
        return _OPAQUE
    if weight.qdata.dtype in _FP8_DTYPES:
        per_tensor = weight.scale.numel() == 1
        return _Kind(act.float8_dtype, per_tensor, weight.qdata.dtype)
    return _Kind(torch.int8, False, torch.int8) if weight.qdata.dtype is torch.int8 else _OPAQUE


def _wanted(kinds: Sequence[_Kind]) -> Wanted:
    quantized = {(kind.codes, kind.per_tensor) for kind in kinds if kind.codes is not None}
    if len(quantized) > 1:
        raise RequestError(
            "layers that share their input have different quant types",
            cause="the fused kernels quantize that input once",
            next_step="choose one quant type for to_q, to_k and to_v of a block",
        )
    codes, per_tensor = quantized.pop() if quantized else (None, False)
    plain = any(kind.codes is None for kind in kinds)
    return Wanted(plain=plain, codes=codes, per_tensor=per_tensor)


def _shared(kinds: Sequence[_Kind]) -> list[list[int]]:
    """Indices of the linears that share a product; one scale for a weight cannot be shared."""
    groups: dict[object, list[int]] = {}
    for index, kind in enumerate(kinds):
        groups.setdefault((kind, index) if kind.per_tensor else kind, []).append(index)
    return list(groups.values())


def _packed(linears: Sequence[nn.Linear], kind: _Kind) -> Tensor:
    """(sum of N, K); the linears keep their names and hold views, so nothing is stored twice.

    A parameter that another transformer has too points to the view in both. Where that one has
    packed it already, its tensor serves; see `packed_rows`.
    """
    plain = kind == _PLAIN
    weights = [_data(linear, plain) for linear in linears]
    if len(weights) == 1:
        return weights[0]
    packed = packed_rows(weights)
    heights = [w.shape[0] for w in weights]
    for linear, view in zip(linears, torch.split(packed, heights), strict=True):
        if plain:
            linear.weight.data = view
        else:
            cast(Any, linear.weight).qdata = view
    return packed


def _data(linear: nn.Linear, plain: bool) -> Tensor:
    weight = cast(Any, linear.weight)
    data: Tensor = weight.data if plain else weight.qdata
    return data.contiguous()


def _packed_scale(linears: Sequence[nn.Linear]) -> Tensor:
    """float32, (sum of N, 1), or (1, 1) per tensor."""
    scales = [cast(Any, linear.weight).scale.float() for linear in linears]
    return torch.cat(scales).contiguous()


def _packed_bias(linears: Sequence[nn.Linear]) -> Tensor | None:
    if all(linear.bias is None for linear in linears):
        return None
    like = next(linear.bias.detach() for linear in linears if linear.bias is not None)
    return torch.cat(
        [
            like.new_zeros(linear.out_features) if linear.bias is None else linear.bias.detach()
            for linear in linears
        ]
    )
