"""How exact float32 products are: NVIDIA's convolutions use TF32 unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_float32() -> Iterator[None]:
    """Float32 products and convolutions keep all 24 bits meanwhile, on a GPU too."""
    with _tf32_allowed(False):
        yield


@contextmanager
def tensor_float32() -> Iterator[None]:
    """Float32 products of a GPU round their factors to 11 bits meanwhile: for gradients."""
    with _tf32_allowed(True):
        yield


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for products of bfloat16."""
    return bool(torch.cpu._is_avx512_bf16_supported())


@contextmanager
def cpu_bfloat16() -> Iterator[None]:
    """Float32 products of a CPU round their factors to bfloat16 where it has instructions for it.

    For gradients: convolutions then take half of the time.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16()):
        yield


@contextmanager
def _tf32_allowed(allowed: bool) -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
