"""A merged LoRA is what PEFT computes beside the weights, under every trainer's names."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.lora import find_lora
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from tests.engine.loading.conftest import CPU, load
from tests.engine.loading.loras import (
    LAYERS,
    MODEL,
    Halves,
    diffusers_file,
    linears,
    named,
    peft_folder,
    random_halves,
)


def _load(
    path: Path, scale: float = 1.0, *, model: str = MODEL, dtype: torch.dtype = torch.float32
) -> LoadedPipeline:
    return load_pipeline(model, dtype=dtype, device=CPU, lora=find_lora(path, scale))


def _weights(loaded: LoadedPipeline) -> dict[str, Tensor]:
    modules = loaded.pipeline.transformer.named_modules()
    return {name: x.weight for name, x in modules if isinstance(x, torch.nn.Linear)}


def _expected(halves: Halves, factor: float) -> dict[str, Tensor]:
    weights = {name: linear.weight.detach() for name, linear in linears().items()}
    return weights | {name: weights[name] + factor * (b @ a) for name, (a, b) in halves.items()}


def _check(loaded: LoadedPipeline, halves: Halves, factor: float) -> None:
    found, expected = _weights(loaded), _expected(halves, factor)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name].detach(), weight, msg=name)


def test_the_merged_transformer_computes_what_peft_adds_beside_the_weights(tmp_path: Path) -> None:
    """y = x W^T + scale * alpha / rank * x A^T B^T, in the whole transformer at once."""
    halves = random_halves()
    merged = _load(peft_folder(tmp_path / "style", halves, r=4, lora_alpha=8), 0.7)
    beside = copy.deepcopy(load(MODEL).pipeline.transformer)

    def add(a: Tensor, b: Tensor) -> Callable[[Any, Any, Tensor], Tensor]:
        return lambda _, args, y: y + 0.7 * 8 / 4 * (args[0] @ a.T) @ b.T

    for name, (a, b) in halves.items():
        beside.get_submodule(name).register_forward_hook(add(a, b))
    inputs = {
        "hidden_states": torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)),
        "encoder_hidden_states": torch.randn(2, 6, 40, generator=torch.Generator().manual_seed(1)),
        "timestep": torch.tensor([500, 20]),
        "added_cond_kwargs": {
            "resolution": torch.full((2, 2), 64.0),
            "aspect_ratio": torch.ones(2, 1),
        },
    }
    with torch.no_grad():
        plain, got, want = (
            model(**inputs).sample
            for model in (load(MODEL).pipeline.transformer, merged.pipeline.transformer, beside)
        )
    assert (want - plain).abs().max() > 0.05
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


_NAMES = {
    "peft": ("base_model.model.{}.lora_A.weight", "base_model.model.{}.lora_B.weight", False),
    "peft, in memory": ("{}.lora_A.default.weight", "{}.lora_B.default.weight", False),
    "diffusers": ("transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight", False),
    "bare": ("{}.lora_A.weight", "{}.lora_B.weight", False),
    "old diffusers": ("transformer.{}.lora.down.weight", "transformer.{}.lora.up.weight", False),
    "unet": ("unet.{}.lora.down.weight", "unet.{}.lora.up.weight", False),
    "linear layer": (
        "{}.lora_linear_layer.down.weight",
        "{}.lora_linear_layer.up.weight",
        False,
    ),
    "kohya": ("lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight", True),
    "kohya, transformer": (
        "lora_transformer_{}.lora_down.weight",
        "lora_transformer_{}.lora_up.weight",
        True,
    ),
    "lycoris": ("lycoris_{}.lora_down.weight", "lycoris_{}.lora_up.weight", True),
    "kohya, dots": (
        "diffusion_model.{}.lora_down.weight",
        "diffusion_model.{}.lora_up.weight",
        False,
    ),
}


@pytest.mark.parametrize("names", _NAMES.values(), ids=_NAMES)
def test_each_naming_is_read(names: tuple[str, str, bool], tmp_path: Path) -> None:
    halves = random_halves()
    down, up, joined = names
    save_file(named(halves, down, up, joined=joined), tmp_path / "style.safetensors")
    _check(_load(tmp_path / "style.safetensors", 0.5), halves, 0.5)


def test_the_oldest_names_of_attention_are_read(tmp_path: Path) -> None:
    halves = random_halves(layers=LAYERS[:2])
    (a0, b0), (a1, b1) = (halves[name] for name in LAYERS[:2])
    tensors = {
        "transformer_blocks.0.attn1.processor.to_q_lora.down.weight": a0,
        "transformer_blocks.0.attn1.processor.to_q_lora.up.weight": b0,
        "transformer_blocks.1.attn2.processor.to_out_lora.down.weight": a1,
        "transformer_blocks.1.attn2.processor.to_out_lora.up.weight": b1,
    }
    save_file(tensors, tmp_path / "style.safetensors")
    _check(_load(tmp_path / "style.safetensors"), halves, 1)


def test_kohya_alphas_count(tmp_path: Path) -> None:
    halves = random_halves()
    tensors = named(
        halves, "lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight", joined=True
    )
    joined = [name.replace(".", "_") for name in halves]
    alphas = {f"lora_unet_{name}.alpha": torch.tensor(2.0) for name in joined}
    save_file(tensors | alphas, tmp_path / "style.safetensors")
    _check(_load(tmp_path / "style.safetensors", -1.5), halves, -1.5 * 2 / 4)


@pytest.mark.parametrize(
    ("config", "factor"),
    [
        ({"lora_alpha": 16}, 4.0),
        ({"lora_alpha": 16, "use_rslora": True}, 16 / math.sqrt(4)),
        ({"lora_alpha": 16, "alpha_pattern": {"to_q|to_out.0|proj|linear.*|proj_out": 2}}, 0.5),
    ],
)
def test_the_configuration_of_peft_counts(
    config: dict[str, Any], factor: float, tmp_path: Path
) -> None:
    halves = random_halves()
    config["r"] = 4
    _check(_load(peft_folder(tmp_path / "folder", halves, **config)), halves, factor)
    _check(_load(diffusers_file(tmp_path / "one.safetensors", halves, **config)), halves, factor)


def test_a_folder_of_peft_without_its_configuration_is_told(tmp_path: Path) -> None:
    halves = random_halves()
    loaded = _load(peft_folder(tmp_path / "style", halves))
    _check(loaded, halves, 1)
    assert "alpha is taken to be the rank" in loaded.notes[0]


def test_what_is_merged_is_rounded_once(alpha_master: Path, tmp_path: Path) -> None:
    halves = random_halves(model=str(alpha_master))
    path = diffusers_file(tmp_path / "style.safetensors", halves)
    exact = _weights(_load(path, model=str(alpha_master)))
    rounded = _weights(_load(path, model=str(alpha_master), dtype=torch.bfloat16))
    assert all(torch.equal(rounded[name], exact[name].bfloat16()) for name in exact)


def test_a_lora_of_zeros_changes_the_fingerprint_alone(alpha_master: Path, tmp_path: Path) -> None:
    halves = {name: (a, 0 * b) for name, (a, b) in random_halves().items()}
    path = diffusers_file(tmp_path / "style.safetensors", halves)
    plain = load(alpha_master, torch.bfloat16)
    merged = _load(path, model=str(alpha_master), dtype=torch.bfloat16)
    for part in ("transformer", "text_encoder", "vae"):
        before, after = (getattr(x.pipeline, part) for x in (plain, merged))
        assert after.state_dict().keys() == before.state_dict().keys()
        both = zip(
            (*before.parameters(), *before.buffers()),
            (*after.parameters(), *after.buffers()),
            strict=True,
        )
        assert all(x.dtype == y.dtype and torch.equal(x, y) for x, y in both)
    assert merged.fingerprint != plain.fingerprint


def test_the_fingerprint_is_that_of_the_file_its_scale_and_its_alphas(tmp_path: Path) -> None:
    halves, other = random_halves(), random_halves(rank=3)
    paths = [
        diffusers_file(tmp_path / "one.safetensors", halves),
        diffusers_file(tmp_path / "two.safetensors", other),
        peft_folder(tmp_path / "three", halves, lora_alpha=4),
        peft_folder(tmp_path / "four", halves, lora_alpha=8),
    ]
    prints = [_load(path).fingerprint for path in paths]
    prints += [load(MODEL).fingerprint, _load(paths[0], 0.5).fingerprint]
    assert len(set(prints)) == len(prints)
    moved = paths[0].rename(tmp_path / "moved.safetensors")
    assert _load(moved).fingerprint == prints[0]


def test_the_model_s_own_file_stays_as_it_is(alpha_master: Path, tmp_path: Path) -> None:
    before = load(alpha_master).fingerprint
    _load(diffusers_file(tmp_path / "style.safetensors", random_halves()), model=str(alpha_master))
    assert load(alpha_master).fingerprint == before


def test_a_file_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    path = diffusers_file(tmp_path / "style.safetensors", random_halves())
    lora = find_lora(path)
    diffusers_file(path, random_halves(rank=2))
    with pytest.raises(RequestError, match="another file than it was"):
        load_pipeline(MODEL, dtype=torch.float32, device=CPU, lora=lora)


Tensors = dict[str, Tensor]
_DOWN, _UP = "transformer.proj_out.lora_A.weight", "transformer.proj_out.lora_B.weight"


def _add(key: str, *shape: int) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {key: torch.zeros(shape or (4,))}


def _without(key: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: x for name, x in tensors.items() if name != key}


def _foreign(tensors: Tensors) -> Tensors:
    return {name.replace("transformer.", "transformer.single_"): x for name, x in tensors.items()}


def _not_finite(tensors: Tensors) -> Tensors:
    return tensors | {_DOWN: tensors[_DOWN] / 0}


@pytest.mark.parametrize(
    ("change", "title", "cause"),
    [
        (_add("transformer.proj_in.lora_A.weight"), "1 of the LoRA's 13", "proj_in.lora_A"),
        (_foreign, "12 of the LoRA's 12 tensors match no layer", "single_"),
        (lambda _: {"x": torch.zeros(1)}, "1 of the LoRA's 1 tensors match", "x"),
        (_without(_UP), "do not make pairs", "proj_out has transformer.proj_out.lora_A.weight"),
        (_without(_DOWN), "do not make pairs", "and no down weight"),
        (_add("proj_out.lora_A.weight"), "do not make pairs", "are of one layer"),
        (_add(_UP, 32, 5), "does not fit", "proj_out is 32x48, its halves are 4x48 and 32x5"),
        (_add(_DOWN, 4, 49), "does not fit", "4x49"),
        (_add(_DOWN), "does not fit", "its halves are 4 and 32x4"),
        (_not_finite, "does not fit", "proj_out gets NaN"),
        (_add("transformer.proj_out.dora_scale"), "DoRA is not supported", "dora_scale"),
        (_add("transformer.proj_out.lora_magnitude_vector"), "DoRA is not", "magnitude"),
        (_add("lora_unet_proj_out.hada_w1_a"), "LoHa is not supported", "hada_w1_a"),
        (_add("lora_unet_proj_out.lokr_w1"), "LoKr is not supported", "lokr_w1"),
        (_add("lora_unet_pos_embed_proj.lora_mid.weight"), "LoCon", "lora_mid"),
        (_add(_DOWN, 4, 48, 1, 1), "LoCon on convolutions is not supported", "proj_out"),
        (_add("text_encoder.encoder.block.0.lora_A.weight"), "text encoder", "text_encoder."),
        (_add("lora_te1_encoder_block_0.lora_down.weight"), "text encoder", "lora_te1_"),
    ],
)
def test_what_cannot_be_merged_is_told(
    change: Callable[[Tensors], Tensors], title: str, cause: str, tmp_path: Path
) -> None:
    path = diffusers_file(tmp_path / "style.safetensors", random_halves())
    save_file({key: x.contiguous() for key, x in change(load_file(path)).items()}, path)
    with pytest.raises(RequestError) as caught:
        _load(path)
    assert title in caught.value.title
    assert cause in caught.value.cause
    assert "style.safetensors" in caught.value.cause
    assert caught.value.next_step
    assert all("\n" not in line and len(line) < 500 for line in caught.value.lines())


def test_a_convolution_is_told(tmp_path: Path) -> None:
    tensors = {
        "transformer.pos_embed.proj.lora_A.weight": torch.zeros(4, 4, 2, 2),
        "transformer.pos_embed.proj.lora_B.weight": torch.zeros(48, 4, 1, 1),
    }
    save_file(tensors, tmp_path / "style.safetensors")
    with pytest.raises(RequestError, match="LoCon on convolutions is not supported"):
        _load(tmp_path / "style.safetensors")


@pytest.mark.parametrize(
    ("config", "title"),
    [
        ({"peft_type": "LOKR"}, "LOKR is not supported"),
        ({"peft_type": "LORA", "use_dora": True}, "DoRA is not supported"),
        ({"init_lora_weights": "pissa_niter_16"}, "begins as pissa_niter_16 is not supported"),
        ({"lora_alpha": "much"}, "does not fit"),
        ({"alpha_pattern": {"(": 1}}, "does not fit"),
        ({"alpha_pattern": [1]}, "does not fit"),
    ],
)
def test_a_configuration_that_is_not_plain_lora_is_told(
    config: dict[str, Any], title: str, tmp_path: Path
) -> None:
    folder = peft_folder(tmp_path / "style", random_halves(), **config)
    with pytest.raises(RequestError) as caught:
        _load(folder)
    assert title in caught.value.title
    assert "adapter_config.json" in caught.value.cause


def test_a_header_that_holds_no_configuration_is_told(tmp_path: Path) -> None:
    path = tmp_path / "style.safetensors"
    tensors = load_file(diffusers_file(path, random_halves()))
    save_file(tensors, path, metadata={"lora_adapter_metadata": "[["})
    with pytest.raises(RequestError, match="does not fit") as caught:
        _load(path)
    assert "lora_adapter_metadata" in caught.value.cause


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    path = diffusers_file(tmp_path / "style.safetensors", random_halves())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(RequestError, match="truncated or damaged"):
        _load(path)
