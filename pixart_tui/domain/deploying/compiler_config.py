"""The JSON of ``--compiler-config``, and nexfort's compiler modes resolved into plain options.

The modes are those of nexfort, OneDiff's compiler (SiliconFlow, onediff, README of nexfort and
``onediff_diffusers_extensions/examples/pixart_alpha/README.md``); what each sets here is told in
docs/compilers.md.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias, cast

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.suggestions import closest
from pixart_tui.domain.values import parse_json

MemoryFormat = Literal["channels_last", "contiguous_format", "preserve_format"]
MEMORY_FORMATS: Final[tuple[MemoryFormat, ...]] = (
    "channels_last",
    "contiguous_format",
    "preserve_format",
)

Option: TypeAlias = bool | int | str
Executor = Literal["fused", "blocks", "whole"]
CudaGraphs = Literal["none", "own", "inductor"]

_AUTOTUNED: Final[Mapping[str, Option]] = {
    "max_autotune_gemm": True,
    "max_autotune_gemm_backends": "ATEN,TRITON,CPP",
    "triton.autotune_cublasLt": True,
    "coordinate_descent_tuning": True,
    "triton.multi_kernel": 1,
}
_QUICK: Final[Mapping[str, Option]] = {
    "max_autotune": False,
    "max_autotune_gemm": False,
    "coordinate_descent_tuning": False,
    "triton.multi_kernel": 0,
}

MODES: Final[Mapping[str, Mapping[str, Option]]] = {
    "default": {},
    "cache-all": {"fx_graph_cache": True},
    "max-autotune": {"max_autotune": True},
    "max-optimize": _AUTOTUNED,
    "cudagraphs": {"cuda_graphs": "own"},
    "inductor-cudagraphs": {"cuda_graphs": "inductor", "transformer": "whole"},
    "freezing": {"freezing": True},
    "inductor-freezing": {"freezing": True},
    "low-precision": {"low_precision": True, "use_fast_math": True},
    "benchmark": {"cudnn_benchmark": True},
    "fast-accum": {"fast_accum": True},
    "quant": {"force_fuse_int_mm_with_mul": True},
    "jit": {"transformer": "blocks", "backend": "inductor", **_QUICK},
    "disable-runtime-fusion": {"transformer": "blocks", "max_fusion_size": 1},
    "cpp-wrapper": {"transformer": "whole", "cpp_wrapper": True},
    "disable-inductor": {"transformer": "blocks", "backend": "aot_eager"},
}
"""Every mode and the options that it sets: fields of `ResolvedModes`, else options of Inductor."""

_KEYS: Final = ("mode", "memory_format", "dynamic")
_SHOWN_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class CompilerConfig:
    """The settings of the compiler ``torch``; the defaults are OneDiff's.

    Attributes:
        modes: Names out of ``MODES``; where two set the same option the earlier one wins.
        memory_format: How the VAE's tensors lie in memory, as torch names it.
        dynamic: Whether one compilation serves every image size.
    """

    modes: tuple[str, ...] = ("max-optimize", "max-autotune", "low-precision", "cudagraphs")
    memory_format: MemoryFormat = "channels_last"
    dynamic: bool = False

    @property
    def mode(self) -> str:
        """The modes as they are written."""
        return ":".join(self.modes)

    def to_json(self) -> str:
        """The canonical text: every key, always in the same order."""
        values = (self.mode, self.memory_format, self.dynamic)
        return json.dumps(dict(zip(_KEYS, values, strict=True)))


@dataclass(frozen=True, slots=True)
class ResolvedModes:
    """The effect of a list of modes.

    Attributes:
        transformer: What runs the transformer: our own kernels, or a compiler, block by block or
            as a whole.
        backend: The compiler of everything that is compiled, a ``torch.compile`` backend.
        cuda_graphs: Who captures CUDA graphs.
        freezing: Whether weights become constants of the compiled code.
        low_precision: Whether float32 products may use TF32 and half-precision sums may be
            reduced in half precision.
        cudnn_benchmark: Whether cuDNN picks its algorithms by measuring them.
        fast_accum: Whether fp8 products are accumulated with less precision.
        inductor: Options of ``torch._inductor.config``.
    """

    transformer: Executor = "fused"
    backend: Literal["inductor", "aot_eager"] = "inductor"
    cuda_graphs: CudaGraphs = "none"
    freezing: bool = False
    low_precision: bool = False
    cudnn_benchmark: bool = False
    fast_accum: bool = False
    inductor: Mapping[str, Option] = field(default_factory=dict)


_FIELDS: Final = {known.name for known in fields(ResolvedModes)} - {"inductor"}


def resolve_modes(modes: Collection[str]) -> ResolvedModes:
    """Merges modes, names out of ``MODES``: of two that differ the earlier wins."""
    options: dict[str, Option] = {}
    for mode in modes:
        options = {**MODES[mode], **options}
    known = {name: options.pop(name) for name in _FIELDS & options.keys()}
    return ResolvedModes(**cast(dict[str, Any], known), inductor=dict(sorted(options.items())))


def parse_compiler_config(text: str) -> CompilerConfig:
    """The configuration that a JSON text says; a key that is left out has its default.

    Raises:
        RequestError: Not a JSON object, an unknown or repeated key, a value of another type, or
            an unknown mode or memory format.
    """
    given = _parse_object(text)
    unknown = next((key for key in given if key not in _KEYS), None)
    if unknown is not None:
        raise _unknown("key", unknown, _KEYS)
    default = CompilerConfig()
    return CompilerConfig(
        modes=_modes(_typed(given, "mode", str, default.mode)),
        memory_format=_memory_format(_typed(given, "memory_format", str, default.memory_format)),
        dynamic=_typed(given, "dynamic", bool, default.dynamic),
    )


def check_nexfort_config(text: str) -> str:
    """A configuration for nexfort itself, in one line; it knows more keys than we do.

    Raises:
        RequestError: Not a JSON object, a repeated key, or an unknown mode or memory format.
    """
    given = _parse_object(text)
    default = CompilerConfig()
    _modes(_typed(given, "mode", str, default.mode))
    _memory_format(_typed(given, "memory_format", str, default.memory_format))
    return json.dumps(given)


def _parse_object(text: str) -> dict[str, Any]:
    try:
        parsed = parse_json(text, _without_repeats)
    except json.JSONDecodeError as error:
        raise _not_json(f"column {error.colno}: {error.msg}") from error
    except ValueError as error:
        raise _not_json("it is nested too deeply or holds too large a number") from error
    if not isinstance(parsed, dict):
        raise _not_json("it is not an object")
    return parsed


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RequestError(
                f"--compiler-config says {_shown(key)} twice",
                cause="which of the two is meant cannot be known",
                next_step="leave one of them out",
            )
        found[key] = value
    return found


def _typed(given: Mapping[str, Any], key: str, kind: type[Any], default: Any) -> Any:
    value = given.get(key, default)
    if not isinstance(value, kind):
        wanted = "true or false" if kind is bool else "a text in quotation marks"
        raise RequestError(
            f'--compiler-config: "{key}" cannot be {_shown(value)}',
            cause=f"it is {wanted}",
            next_step=f'for example: {{"{key}": {json.dumps(default)}}}',
        )
    return value


def _modes(joined: str) -> tuple[str, ...]:
    modes = tuple(joined.split(":"))
    for mode in modes:
        if mode not in MODES:
            raise _unknown("mode", mode, MODES)
    return modes


def _memory_format(name: str) -> MemoryFormat:
    if name not in MEMORY_FORMATS:
        raise _unknown("memory format", name, MEMORY_FORMATS)
    return name


def _unknown(kind: str, name: str, known: Collection[str]) -> RequestError:
    return RequestError(
        f"--compiler-config: there is no {kind} {_shown(name)}",
        cause=f"known: {', '.join(known)}",
        next_step=f'write "{closest(name, known)}"',
    )


def _shown(value: object) -> str:
    """As JSON in ASCII, on one line, cut where it is long."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _not_json(cause: str) -> RequestError:
    example = """--compiler-config '{"mode": "max-autotune", "dynamic": true}'"""
    return RequestError(
        "--compiler-config is not a JSON object", cause=cause, next_step=f"for example: {example}"
    )
