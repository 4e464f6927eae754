from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from pixart_tui.domain.profiles.image_metrics import image_similarity
from pixart_tui.engine.image_metrics import (
    finite_per_sample,
    mse_per_sample,
    psnr_db_per_image,
    ssim_per_image,
)


def _images(seed: int = 0, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_an_image_equals_itself() -> None:
    images = _images()
    assert ssim_per_image(images, images) == pytest.approx([1.0, 1.0], abs=1e-12)
    assert psnr_db_per_image(images, images) == [None, None]
    assert mse_per_sample(images, images) == [0.0, 0.0]


def test_each_image_is_judged_alone() -> None:
    images, other = _images(), _images()
    other[1] = 1 - other[1]
    first, second = ssim_per_image(images, other)
    assert first == pytest.approx(1.0)
    assert second < 0.5
    assert psnr_db_per_image(images, other)[0] is None


@pytest.mark.parametrize("scale", [1e-6, 0.3])
def test_psnr_is_that_of_torchmetrics(scale: float) -> None:
    images = _images(3)
    other = (images + scale * torch.randn(images.shape)).clamp(0, 1)
    pairs = zip(images.double(), other.double(), strict=True)
    expected = [float(peak_signal_noise_ratio(a, b, data_range=1.0)) for a, b in pairs]
    # Its logarithm of 10 is a float32.
    assert psnr_db_per_image(images, other) == pytest.approx(expected, rel=1e-7)


@given(st.floats(1e-4, 0.2))
def test_psnr_of_a_constant_shift_is_its_formula(shift: float) -> None:
    images = _images() * 0.5
    for found in psnr_db_per_image(images + shift, images):
        assert found == pytest.approx(-20 * math.log10(shift), abs=0.05)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 3, 40, 64), (3, 3, 11, 11)])
@pytest.mark.parametrize("scale", [1e-4, 0.3])
def test_ssim_is_that_of_torchmetrics_in_float64(shape: tuple[int, ...], scale: float) -> None:
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(shape, generator=generator)
    other = (images + scale * torch.randn(shape, generator=generator)).clamp(0, 1)
    expected = structural_similarity_index_measure(
        images.double(), other.double(), data_range=1.0, reduction="none"
    )
    assert isinstance(expected, torch.Tensor)
    found = ssim_per_image(images, other)
    assert found == pytest.approx(expected.flatten().tolist(), abs=1e-12)


def test_ssim_of_a_constant_image_is_its_luminance_term() -> None:
    a, b, c1 = 0.2, 0.6, 0.01**2
    images, reference = torch.full((1, 3, 32, 32), a), torch.full((1, 3, 32, 32), b)
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim_per_image(images, reference) == pytest.approx([expected], abs=1e-6)


def test_ssim_tells_differences_of_a_millionth_apart() -> None:
    images = _images()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    small, smaller = (ssim_per_image(images + scale * noise, images)[0] for scale in (2e-4, 1e-4))
    assert 0 < 1 - smaller < 1 - small < 1e-5
    assert (1 - small) / (1 - smaller) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_one_bad_value_marks_its_sample_alone(poison: float) -> None:
    images, latents = _images(), torch.zeros(2, 4, 4, 4)
    latents[1, 0, 0, 0] = poison
    assert finite_per_sample(images, latents) == [True, False]


@pytest.mark.parametrize("size", [(16, 16), (33, 48)])
def test_arrays_and_tensors_have_one_definition(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(3)
    image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    noise = generator.integers(-9, 9, image.shape)
    reference = np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)

    found = image_similarity(image, reference)

    tensors = [
        torch.from_numpy(x).permute(2, 0, 1)[None].double() / 255 for x in (image, reference)
    ]
    assert [found.ssim] == pytest.approx(ssim_per_image(*tensors), abs=1e-13)
    assert found.psnr_db == pytest.approx(psnr_db_per_image(*tensors)[0])
    assert found.mae == pytest.approx(float((tensors[0] - tensors[1]).abs().mean()))


def test_equal_images_have_no_psnr() -> None:
    image = np.full((12, 12, 3), 7, np.uint8)

    found = image_similarity(image, image)

    assert found.ssim == pytest.approx(1)
    assert found.psnr_db is None
    assert found.mae == 0
