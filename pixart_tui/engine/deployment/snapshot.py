"""Keeps everything of a pipeline that deploying changes, to give it back."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from pixart_tui.engine.typing import Pipeline

_COPIED: Final = (dict, OrderedDict, set, list)
_OF_TENSORS: Final = ("_parameters", "_buffers")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A parameter or buffer: its values in host memory, and itself while anything else uses it."""

    values: Tensor
    device: torch.device
    requires_grad: bool
    is_parameter: bool
    original: weakref.ref[Tensor]

    @classmethod
    def of(cls, tensor: Tensor) -> _Kept:
        # On a CPU deploying replaces weights and never writes into them.
        values = tensor.data if tensor.device.type == "cpu" else tensor.data.to("cpu", copy=True)
        is_parameter = isinstance(tensor, nn.Parameter)
        return cls(values, tensor.device, tensor.requires_grad, is_parameter, weakref.ref(tensor))

    def restored(self) -> Tensor:
        """The tensor with its values, on its device: the very one if it is still in use."""
        values = self.values.to(self.device)
        known = self.original()
        if known is not None:
            known.data = values
            return known
        return nn.Parameter(values, self.requires_grad) if self.is_parameter else values


@dataclass(frozen=True, slots=True)
class PipelineSnapshot:
    """The modules of a pipeline and their tensors as they were.

    It holds no device memory: tensors of a GPU are copied to the host.

    Attributes:
        size_bytes: Host memory that the copies take; on a CPU, of weights that are held.
    """

    size_bytes: int
    _pipeline: Mapping[str, Any]
    _modules: Mapping[nn.Module, Mapping[str, Any]]
    _tensors: Mapping[int, _Kept] = field(repr=False)

    @classmethod
    def take(cls, pipeline: Pipeline) -> PipelineSnapshot:
        """The state of a pipeline.

        Args:
            pipeline: Nothing of it may be on the ``meta`` device.
        """
        tensors: dict[int, _Kept] = {}
        modules = {module: _state(module, tensors) for module in modules_of(pipeline)}
        size_bytes = sum(kept.values.nbytes for kept in tensors.values())
        return cls(size_bytes, dict(pipeline.__dict__), modules, tensors)

    def release(self, pipeline: Pipeline) -> None:
        """Lets go of the tensors of modules that the pipeline uses no more."""
        in_use = set(modules_of(pipeline))
        for module in self._modules:
            if module not in in_use:
                module.__dict__.clear()

    def restore(self, pipeline: Pipeline) -> None:
        """Gives the pipeline its modules, weights and methods back; it needs the device memory."""
        for module, state in self._modules.items():
            _put_back(module.__dict__, {**state, **{name: {} for name in _OF_TENSORS}})
        _put_back(pipeline.__dict__, self._pipeline)
        # Only now is everything gone that was put in their place: both need not fit.
        gc.collect()
        restored: dict[int, Tensor] = {}
        for module, state in self._modules.items():
            for name in _OF_TENSORS:
                module.__dict__[name].update(
                    {key: self._tensor(value, restored) for key, value in state[name].items()}
                )

    def _tensor(self, key: int | None, restored: dict[int, Tensor]) -> Tensor | None:
        if key is None:
            return None
        if key not in restored:
            restored[key] = self._tensors[key].restored()
        return restored[key]


def modules_of(pipeline: Pipeline) -> Iterator[nn.Module]:
    """Every module of a pipeline's components, each once."""
    seen: set[nn.Module] = set()
    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            for module in component.modules():
                if module not in seen:
                    seen.add(module)
                    yield module


def _put_back(own: dict[str, Any], state: Mapping[str, Any]) -> None:
    """Makes an object's dictionary what it was; containers keep their identity."""
    for name in own.keys() - state.keys():
        del own[name]
    for name, value in state.items():
        known: Any = own.get(name)
        if type(value) not in _COPIED or type(known) is not type(value):
            own[name] = _copied(value)
        elif isinstance(known, list):
            known[:] = value
        elif isinstance(known, dict | set):
            known.clear()
            known.update(value)


def _state(module: nn.Module, tensors: dict[int, _Kept]) -> dict[str, Any]:
    state = {name: _copied(value) for name, value in module.__dict__.items()}
    for name in _OF_TENSORS:
        state[name] = {key: _keep(value, tensors) for key, value in state[name].items()}
    return state


def _keep(tensor: Tensor | None, tensors: dict[int, _Kept]) -> int | None:
    if tensor is None:
        return None
    if id(tensor) not in tensors:
        tensors[id(tensor)] = _Kept.of(tensor)
    return id(tensor)


def _copied(value: Any) -> Any:
    return value.copy() if type(value) in _COPIED else value
