"""Float32 that is float32: NVIDIA's convolutions use TF32 unless told otherwise."""

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


@contextmanager
def _tf32_allowed(allowed: bool) -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
