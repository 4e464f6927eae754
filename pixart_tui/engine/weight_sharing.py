"""Copies of modules that share their weights."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


def weight_sharing_copy(module: _Module) -> _Module:
    """Another module with the same parameters and buffers, whose submodules are its own.

    Either can have layers swapped or quantized; the other keeps what they replace, and what is
    replaced in neither is there once.
    """
    tensors = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
