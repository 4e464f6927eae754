"""What a generation makes of its flags: real images of small models."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixart_tui.domain.errors import CancelledError, RequestError, WorkError
from pixart_tui.domain.generation import CallOptions
from pixart_tui.engine.generation import generating
from pixart_tui.engine.loading.embedded import embedded_directory
from pixart_tui.runs.run import Run
from tests.stand_ins import nexfort
from tests.worker.generate_runs import generated, new_run, work

_LAYERS = ("transformer_blocks.0.attn1.to_q", "transformer_blocks.1.ff.net.2")


def _images(run: Run) -> list[bytes]:
    paths = [run.paths.directory / a.path for a in run.snapshot.artifacts if a.role == "image"]
    return [Image.open(path).tobytes() for path in paths]


def _purposes(run: Run) -> Counter[str]:
    return Counter(call.purpose for call in run.snapshot.generation.calls)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The image that the other settings are compared with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXART_TUI_RUNS", str(tmp_path_factory.mktemp("runs")))
        (image,) = _images(generated())
    return image


def test_the_same_request_makes_the_same_image(plain: bytes) -> None:
    assert _images(generated()) == [plain]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"prompts": ("red apple",)},
        {"negative_prompt": "blurry"},
        {"num_inference_steps": 3},
        {"scheduler": "DDIMScheduler"},
        {"call_options": CallOptions(guidance_scale=1.5)},
        {"quantize": True, "quant_type": "int4_weightonly"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_decides_about_the_image_changes_it(changes: dict[str, object], plain: bytes) -> None:
    (image,) = _images(generated(**changes))
    assert len(image) == len(plain)
    assert image != plain


def test_the_embedded_model_draws_what_was_asked(tmp_path: Path) -> None:
    """A red apple on white, with the scheduler that OneDiff's script sets by default."""
    output = tmp_path / "apple.png"
    generated(
        model="pixart-emoji",
        prompts=("red apple",),
        scheduler="EulerAncestralDiscreteScheduler",
        num_inference_steps=12,
        output=str(output),
    )

    pixels = np.asarray(Image.open(output)).astype(float)
    assert pixels.shape == (128, 128, 3)
    assert pixels[:8, :8].mean() > 225
    red, green, blue = pixels[48:96, 48:96].mean(axis=(0, 1))
    assert red > green + 60
    assert red > blue + 60


def test_sizes_batch_and_file(tmp_path: Path) -> None:
    output = tmp_path / "owl.jpg"
    run = generated(height=96, width=64, batch=3, warmups=2, output=str(output))

    images = _images(run)
    assert len(images) == len(set(images)) == 3
    assert Image.open(output).size == (64, 96)
    assert Image.open(output).format == "JPEG"
    assert _purposes(run) == {"warm-up": 2, "image": 1}
    roles = [a.role for a in run.snapshot.artifacts]
    assert roles == ["image", "image", "image", "output_image"]
    plan, call = run.snapshot.generation.plan, run.snapshot.generation.calls[-1]
    assert plan is not None
    assert (plan.steps, plan.total_steps, plan.dtype) == (2, 6, "float32")
    assert (run.snapshot.done, run.snapshot.total) == (6, 6)
    assert call.peak_bytes is not None
    assert call.peak_bytes > 2**20
    assert call.iterations_per_s is not None


def test_one_step_has_no_iteration_speed() -> None:
    run = generated(num_inference_steps=1)
    assert run.snapshot.generation.calls[0].iterations_per_s is None


def test_sizes_of_the_models_own_side_are_timed() -> None:
    run = generated(multiple_resolutions=True)
    timed = [
        (c.height, c.width) for c in run.snapshot.generation.calls if c.purpose == "resolution"
    ]
    sides = (64, 32, 48, 16)
    assert timed == [(height, width) for height in sides for width in sides]


def test_throughput_times_numbers_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(generating.THROUGHPUT_STEPS)[::98] == [1, 99]
    monkeypatch.setattr(generating, "THROUGHPUT_STEPS", range(1, 5))

    sigma = generated(throughput=True)
    alpha = generated(model="synthetic:alpha-tiny", throughput=True, call_options=_UNBINNED)

    assert [c.steps for c in sigma.snapshot.generation.calls if c.purpose == "throughput"] == [
        1,
        2,
        3,
        4,
    ]
    # In one step the stock pipeline of alpha fails with the solver that it comes with.
    assert [c.steps for c in alpha.snapshot.generation.calls if c.purpose == "throughput"] == [
        2,
        3,
        4,
    ]


_UNBINNED = CallOptions(use_resolution_binning=False)


def test_a_size_between_the_bins_is_drawn_at_the_nearest_with_a_notice() -> None:
    run = generated(model="synthetic:alpha-tiny", height=1000, width=1024)

    (notice,) = run.snapshot.notices
    assert "1024x1000 is drawn at 1024x1024" in notice
    (path,) = (a.path for a in run.snapshot.artifacts)
    assert Image.open(run.paths.directory / path).size == (1024, 1000)


def test_a_prompt_that_is_too_long_is_cut_with_a_notice() -> None:
    words = "a red apple on a wooden table beside a blue cup"
    long = generated(prompts=(f"{words} and a pear",))
    (notice,) = long.snapshot.notices
    assert "this model reads 16" in notice
    assert "pear" in notice
    # What was cut has no part in the image.
    assert _images(long) == _images(generated(prompts=(f"{words} and a dog",)))


def test_a_simulated_quant_type_says_so(tmp_path: Path) -> None:
    run = generated(
        quantize=True, compiler="compile", quant_submodules_config_path=str(_file(tmp_path))
    )

    plan = run.snapshot.generation.plan
    assert plan is not None
    assert plan.execution == "simulated"
    assert plan.quantized_layers == 2
    assert plan.compiler_config == ""
    (notice,) = run.snapshot.notices
    assert "fp8_e4m3_e4m3_dynamic is simulated here" in notice
    assert "without the compiler" in notice


def _file(folder: Path, *names: str) -> Path:
    path = folder / "layers.json"
    path.write_text(json.dumps({name: {"ssim": 0.9} for name in names or (*_LAYERS, "proj_out")}))
    return path


def test_a_layer_file_of_another_model_is_refused_before_any_image(tmp_path: Path) -> None:
    file = _file(tmp_path, "transformer_blocks.27.attn1.to_q", *_LAYERS)
    for compiler in ("none", "nexfort"):
        run = new_run(quantize=True, compiler=compiler, quant_submodules_config_path=str(file))
        with pytest.raises(RequestError, match="layers that the model does not have") as caught:
            work(run)
        assert "transformer_blocks.27.attn1.to_q" in caught.value.cause
        assert not run.paths.artifacts.exists()


@pytest.mark.parametrize(
    ("changes", "said", "next_step"),
    [
        ({"scheduler": "EulerDiscreteSchedular"}, "no scheduler", "EulerDiscreteScheduler"),
        ({"scheduler": "ModelMixin"}, "no scheduler", "none for the model's own"),
        ({"height": 72}, "does not fit the model", "Choose 64"),
        ({"variant": "fp16"}, "no variant fp16", "Leave out --variant"),
        (
            {"model": "synthetic:alpha-tiny", "num_inference_steps": 1},
            "cannot make an image in 1 step",
            "--steps 2",
        ),
    ],
    ids=["scheduler", "no scheduler", "size", "variant", "one step"],
)
def test_what_only_the_model_can_refuse(
    changes: dict[str, object], said: str, next_step: str
) -> None:
    run = new_run(**changes)
    with pytest.raises(RequestError, match=said) as caught:
        work(run)
    assert next_step in caught.value.next_step
    assert len(caught.value.lines()) <= 5
    assert not run.paths.artifacts.exists()


def test_a_model_that_is_no_pixart_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(RequestError, match="not a PixArt pipeline"):
        work(new_run(model=str(tmp_path)))


def test_a_variant_is_loaded_where_a_part_has_one(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(embedded_directory(), model)
    weights = model / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    fields: dict[str, object] = {"model": str(model), "num_inference_steps": 2}

    own = generated(model="pixart-emoji", num_inference_steps=2)
    assert _images(generated(**fields, variant="fp16")) == _images(own)
    assert _images(generated(**fields)) == _images(own)


def test_a_batch_beyond_the_memory_says_what_fits_before_it_begins() -> None:
    run = new_run(model="pixart-emoji", batch=1_000_000)

    with pytest.raises(WorkError, match="1000000 images of 128x128") as caught:
        work(run)

    assert "GiB were free" in caught.value.cause
    fitting = int(caught.value.next_step.removeprefix("--batch ").split()[0])
    assert 1 <= fitting < 1_000_000
    assert run.snapshot.generation.calls == []


def test_cancelling_leaves_no_image(tmp_path: Path) -> None:
    output = tmp_path / "owl.png"
    run, asked = new_run(output=str(output), num_inference_steps=5), 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > 5:
            raise CancelledError("cancelled")

    with pytest.raises(CancelledError):
        work(run, check)
    assert not output.exists()
    assert not run.paths.artifacts.exists()


def test_nexfort_draws_with_the_layers_of_the_users_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = nexfort.install(tmp_path, monkeypatch)
    path = _file(tmp_path)

    run = generated(
        compiler="nexfort",
        quantize=True,
        quant_type="int8_dynamic",
        top_percentage=67,
        quant_submodules_config_path=str(path),
    )

    (asked,) = recorded.of("quantize")
    assert asked["allowed"] == list(_LAYERS)
    assert asked["quant_type"] == "int8_dynamic"
    assert len(recorded.of("compile")) == 4
    assert len(_images(run)) == 1
