"""Local errors of every quant type, and what taps change in a layer: nothing, outside a pass."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Final

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.layers.quant_types import QUANT_TYPE_NAMES, parse_quant_type
from pixart_tui.engine.packed_linear import pack_linears
from pixart_tui.engine.precision import multiplies_bfloat16
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.isolated import IsolatedRealLinear
from pixart_tui.engine.quant.simulated import BatchLayout, SimulatedLinear
from pixart_tui.engine.sensitivity.adjoint.passes import Pass, inner_products
from pixart_tui.engine.sensitivity.adjoint.taps import LocalError, Taps

_FP8: Final = parse_quant_type("fp8_e4m3_e4m3_dynamic")
_INT8: Final = parse_quant_type("int8_dynamic")
_PAIR: Final = BatchLayout(guidance=2, images=2)
_FLOAT32: Final = 4e-3 if multiplies_bfloat16() else 1e-4
"""Relative error of products for gradients in float32: that of bfloat16 where the CPU has it."""


def _randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _linear(dtype: torch.dtype = torch.float32, size: int = 128) -> nn.Linear:
    linear = nn.Linear(size, 48, dtype=dtype)
    linear.weight.data = _randn(48, size, seed=1).to(dtype)
    linear.bias.data = _randn(48, seed=2).to(dtype)
    return linear


def _input(dtype: torch.dtype, layout: BatchLayout) -> Tensor:
    """Images of very different sizes, so that scales of their own matter."""
    sizes = torch.tensor([1.0, 30.0], dtype=torch.float64)[: layout.images, None, None]
    shape = (layout.guidance, layout.images, 5, 128)
    return (_randn(*shape) * sizes).flatten(0, 1).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [BatchLayout(1, 1), BatchLayout(2, 1), _PAIR])
@pytest.mark.parametrize("name", QUANT_TYPE_NAMES)
@torch.no_grad()
def test_a_local_error_is_what_quantizing_changes(
    name: str, layout: BatchLayout, dtype: torch.dtype
) -> None:
    linear, x, quant_type = _linear(dtype), _input(dtype, layout), parse_quant_type(name)
    found = LocalError(linear, quant_type, layout, Execution.SIMULATED)(x)
    expected = SimulatedLinear(linear, quant_type, layout)(x) - linear(x)
    assert found.shape == expected.shape
    # In float64 the differences alone are rounded to float32, in float32 the expected one cancels.
    error = (found - expected).norm() / expected.norm()
    assert float(error) < (_FLOAT32 if dtype is torch.float32 else 2e-5)
    assert float(expected.norm()) > 0


@pytest.mark.parametrize("name", ["int8_weightonly", "int8_dynamic"])
@torch.no_grad()
def test_errors_keep_their_digits_in_bfloat16(name: str) -> None:
    """Between the two rounded outputs they would have lost most of them."""
    linear, quant_type = _linear(torch.bfloat16), parse_quant_type(name)
    x = _input(torch.bfloat16, BatchLayout())
    found = LocalError(linear, quant_type, BatchLayout(), Execution.SIMULATED)(x)
    simulated = SimulatedLinear(linear, quant_type)
    quantized = simulated.rounded(x).double() @ simulated.weight.double().T
    exact = quantized - x.double() @ linear.weight.double().T
    assert float((found.double() - exact).norm() / exact.norm()) < 0.01
    cancelled = simulated(x) - linear(x)
    assert float((cancelled.double() - exact).norm() / exact.norm()) > 0.1


@torch.no_grad()
def test_a_real_kernel_gives_its_own_error() -> None:
    linear, layout = _linear(), BatchLayout(1, 1)
    x = _randn(1, 32, 128).float()
    found = LocalError(linear, _INT8, layout, Execution.REAL)(x)
    expected = IsolatedRealLinear(linear, _INT8, layout)(x).float() - linear(x)
    assert torch.equal(found, expected)
    simulated = LocalError(linear, _INT8, layout, Execution.SIMULATED)(x)
    assert 0.3 < float(simulated.norm() / found.norm()) < 3


class _Model(nn.Module):
    """Three linears in a row, the second of them behind a nonlinearity."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = _linear(), _linear(size=48), _linear(size=48)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.third(torch.tanh(self.second(torch.tanh(self.first(x)))))
        return y


_ABLE: Final = {"first": [_FP8, _INT8], "second": [_INT8], "third": []}


def _record(
    model: nn.Module, taps: Taps, x: Tensor, gradients: Tensor, at_once: int
) -> tuple[Tensor, Tensor]:
    """Effects of a batch under several gradients of its output, and the input's gradients.

    Args:
        model: The model.
        taps: Its taps.
        x: (rows, tokens, channels), rows of a pair of images.
        gradients: (draws, rows, tokens, channels).
        at_once: Draws at once.
    """
    draws = len(gradients)
    effects = torch.full((_PAIR.images, draws, 3, 2), torch.nan)
    found = Pass(_PAIR, effects)
    leaf = x.clone().requires_grad_()
    pulled: list[Tensor] = []

    def pull(gradient: Tensor) -> Tensor:
        return torch.autograd.grad(y, leaf, gradient, retain_graph=True)[0]

    with taps.recording(found):
        y = model(leaf)
        for first in range(0, draws, at_once):
            found.first = first
            pulled += torch.func.vmap(pull)(gradients[first : first + at_once])
    return effects, torch.stack(pulled)


def _taps(model: nn.Module) -> Taps:
    return Taps(model, _ABLE, (_FP8, _INT8), Execution.SIMULATED)


class _Seen:
    """A forward of an untapped model: what each linear got and gave."""

    def __init__(self, model: _Model, x: Tensor) -> None:
        self.leaf = x.clone().requires_grad_()
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        named = list(model.named_children())
        hooks = [linear.register_forward_hook(partial(self._see, name)) for name, linear in named]
        self.y = model(self.leaf)
        for hook in hooks:
            hook.remove()

    def _see(self, name: str, _module: nn.Module, inputs: tuple[Tensor], y: Tensor) -> None:
        self.inputs[name], self.outputs[name] = inputs[0].detach(), y

    def gradients(self, of_y: Tensor) -> tuple[Tensor, ...]:
        """Of the input and of each linear's output."""
        wanted = [self.leaf, *self.outputs.values()]
        return torch.autograd.grad(self.y, wanted, of_y, retain_graph=True)


@pytest.mark.parametrize("at_once", [1, 3, 4])
@pytest.mark.parametrize("packed", [False, True])
def test_effects_are_gradients_times_errors(packed: bool, at_once: int) -> None:
    plain, model, x = _Model(), _Model(), _randn(4, 5, 128).float()
    of_output = _randn(4, 4, 5, 48, seed=3).float()
    if packed:
        pack_linears(model)
    effects, pulled = _record(model, _taps(model), x, of_output, at_once)
    seen = _Seen(plain, x)
    for draw, cotangent in enumerate(of_output):
        of_input, *gradients = seen.gradients(cotangent)
        error = (pulled[draw] - of_input).norm() / of_input.norm()
        assert float(error) < 4 * _FLOAT32
        for at, name in enumerate(_ABLE):
            for quant_type in _ABLE[name]:
                place = (_FP8, _INT8).index(quant_type)
                linear = plain.get_submodule(name)
                assert isinstance(linear, nn.Linear)
                got = seen.inputs[name]
                error = SimulatedLinear(linear, quant_type, _PAIR)(got) - linear(got)
                products = (gradients[at] * error).detach().reshape(2, 2, -1)
                found = effects[:, draw, at, place]
                error = (found - products.sum((0, 2))).abs().max() / products.norm()
                assert float(error) < max(4 * _FLOAT32, 1e-3)
    assert effects[:, :, 1, 0].isnan().all()
    assert effects[:, :, 2].isnan().all()


def test_outside_a_pass_nothing_changes_and_nothing_is_recorded() -> None:
    plain, model, x = _Model(), _Model(), _randn(4, 5, 128).float()
    taps = _taps(model)
    assert torch.equal(model(x), plain(x))
    with taps.recording(Pass(_PAIR, torch.zeros(2, 1, 3, 2))), torch.no_grad():
        assert torch.equal(model(x), plain(x))
    assert torch.equal(model(x), plain(x))


@pytest.mark.parametrize("recorded", [False, True])
def test_held_errors_are_those_of_the_undisturbed_rows(recorded: bool) -> None:
    plain, model = _Model(), _Model()
    x = _input(torch.float32, _PAIR)
    other, taps = x + 0.01, _taps(model)
    found = Pass(_PAIR, torch.zeros(2, 1, 3, 2))
    recording = taps.recording(found) if recorded else nullcontext()
    with taps.holding_errors(_INT8, _PAIR), recording, torch.set_grad_enabled(recorded):
        torch.testing.assert_close(model.first(x), plain.first(x))
    error = LocalError(plain.first, _INT8, _PAIR, Execution.SIMULATED)(x)
    with torch.no_grad(), taps.adding_errors():
        torch.testing.assert_close(model.first(other), plain.first(other) + error)
        # They are added once.
        torch.testing.assert_close(model.first(other), plain.first(other))


@torch.no_grad()
def test_a_layer_without_the_quant_type_holds_no_error() -> None:
    plain, model, x = _Model(), _Model(), torch.ones(4, 5, 48)
    taps = _taps(model)
    with taps.holding_errors(_FP8, _PAIR):
        model.second(x)
    with taps.adding_errors():
        torch.testing.assert_close(model.second(x), plain.second(x))


def test_quantized_weights_are_kept_only_where_they_may_be() -> None:
    model, x = _Model(), _randn(4, 5, 128).float()
    taps, gradients = _taps(model), _randn(1, 4, 5, 48).float()
    kept, _ = _record(model, taps, x, gradients, 1)
    assert [len(tap.errors) for tap in taps._taps] == [2, 1, 0]
    taps.keep_weights(False)
    made_again, _ = _record(model, taps, x, gradients, 1)
    assert [len(tap.errors) for tap in taps._taps] == [0, 0, 0]
    assert torch.equal(kept.nan_to_num(), made_again.nan_to_num())


def test_a_layer_whose_input_needs_no_gradient_is_reached_by_the_anchor() -> None:
    model = _Model()
    taps = _taps(model)
    effects = torch.full((2, 1, 3, 2), torch.nan)
    with taps.recording(Pass(_PAIR, effects)):
        y = model(_randn(4, 5, 128).float())
        torch.autograd.grad(y, taps.anchor, torch.ones_like(y), allow_unused=True)
    assert effects[:, 0, 0].isfinite().all()


@pytest.mark.parametrize("layout", [BatchLayout(1, 1), BatchLayout(2, 1), BatchLayout(2, 3)])
def test_products_are_summed_over_guidance_and_tokens_of_each_image(layout: BatchLayout) -> None:
    rows, draws, types = layout.guidance * layout.images, 3, 2
    g, d = _randn(draws, rows, 5, 7).float(), _randn(types, rows, 5, 7, seed=1).float()
    products = inner_products(g, d, layout)
    assert products.shape == (layout.images, draws, types)
    for image in range(layout.images):
        mine = [half * layout.images + image for half in range(layout.guidance)]
        expected = torch.einsum("krtn,jrtn->kj", g[:, mine], d[:, mine])
        torch.testing.assert_close(products[image], expected, rtol=1e-4, atol=1e-4)
