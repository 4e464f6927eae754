"""The int8 product, on a GPU."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("shape", [(8192, 3456, 1152), (240, 1152, 1152), (33, 48, 64)])
@pytest.mark.parametrize("biased", [True, False])
def test_int8_product(shape: tuple[int, int, int], biased: bool) -> None:
    from pixart_tui.engine.kernels.int8_matmul import int8_matmul

    m, n, k = shape
    generator = torch.Generator("cuda").manual_seed(m)
    a, b = (
        torch.randint(-128, 128, (x, k), generator=generator, device="cuda", dtype=torch.int8)
        for x in (m, n)
    )
    scales = [torch.rand(x, 1, generator=generator, device="cuda") for x in (m, n)]
    bias = torch.randn(n, generator=generator, device="cuda").bfloat16() if biased else None
    expected = (a.double() @ b.double().t()) * scales[0].double() * scales[1].double().t()
    expected = expected if bias is None else expected + bias.double()
    found = int8_matmul(a, b, scales[0], scales[1], bias, torch.bfloat16)
    torch.testing.assert_close(found.double(), expected, rtol=2**-7, atol=1e-2)
