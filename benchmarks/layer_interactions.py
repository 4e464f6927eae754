"""Do the errors of layers add up? How single layers' disturbances meet in the image.

    python -m benchmarks.layer_interactions [--images 8] [--keep DIR] [--output FILE]

Each layer is quantized alone, and what it does to each image is kept. ``SsimForm`` gives the part
of 1 - SSIM that two layers share in an image: their cosine says whether their errors point the same
way. If it repeated from image to image, a selection could be chosen so that errors cancel; the file
says whether the mean cosines of one half of the images agree with those of the other.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.settings import default_settings
from benchmarks.ssim_form import SsimForm, products
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.engine.image_metrics import ssim_per_image
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.packed_linear import pack_linears
from pixart_tui.engine.precision import exact_float32
from pixart_tui.engine.prompts import prompts_for
from pixart_tui.engine.quant.apply import one_layer_quantized
from pixart_tui.engine.sensitivity.parallel import torch_threads
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample

MODEL: Final = "pixart-emoji"
QUANT_TYPE: Final = "fp8_e4m3_e4m3_dynamic"
_LARGE_T: Final = 4.0


def disturb(images: int, folder: Path) -> tuple[Tensor, list[Path]]:
    """The reference images, and a file of differences for each layer."""
    loaded = load_pipeline(MODEL, dtype=torch.float32, device=torch.device("cpu"))
    transformer = loaded.pipeline.transformer
    settings = default_settings(loaded, [Sample(x, 0) for x in prompts_for(MODEL)[:images]])
    names = [name for name, x in transformer.named_modules() if isinstance(x, nn.Linear)]
    files = [folder / f"{name}.pt" for name in names]
    with exact_float32(), torch_threads(1):
        pack_linears(transformer)
        renderer = Renderer(loaded.pipeline, settings, lambda: None)
        (reference,) = renderer.render(images)
        for name, file in zip(names, files, strict=True):
            if not file.exists():
                torch.save(_differences(renderer, name, images, reference.images), file)
    return reference.images, files


def _differences(renderer: Renderer, name: str, images: int, reference: Tensor) -> Tensor:
    kind = parse_quant_type(QUANT_TYPE)
    (found,) = renderer.render(
        images, lambda layout: one_layer_quantized(renderer.transformer, name, kind, layout)
    )
    return found.images - reference


def forms(reference: Tensor, files: list[Path]) -> tuple[np.ndarray[Any, Any], float]:
    """How layers meet in each image, and how far a layer's own entry is from its 1 - SSIM."""
    form = SsimForm(reference)
    sketches, off = [], []
    for file in files:
        difference = torch.load(file)
        sketches.append(form.sketch(difference))
        losses = 1 - np.array(ssim_per_image(reference + difference, reference))
        own = products(sketches[-1][None])[0, 0].item()
        off.append(abs(own / losses.mean() - 1))
    stacked = torch.stack(sketches)
    by_image = [products(stacked[:, i : i + 1]).numpy() for i in range(stacked.shape[1])]
    return np.stack(by_image), float(np.median(off))


def describe(form: np.ndarray[Any, Any]) -> dict[str, Any]:
    """What the file says of the pairs."""
    images, layers, _ = form.shape
    lengths = np.sqrt(np.einsum("kii->ki", form))
    cosines = form / lengths[:, :, None] / lengths[:, None, :]
    pairs = cosines[:, *np.triu_indices(layers, 1)]
    mean, error = pairs.mean(0), pairs.std(0, ddof=1) / np.sqrt(images)
    halves = pairs[0::2].mean(0), pairs[1::2].mean(0)
    # By chance, with the signs of whole images flipped: what no interaction at all would give.
    flips = np.random.default_rng(0).choice([-1.0, 1.0], (200, *pairs.shape))
    flipped = [np.abs(_t(pairs * flip)) > _LARGE_T for flip in flips]
    return {
        "pairs": int(pairs.shape[1]),
        "cosine_in_one_image": {"rms": float(np.sqrt((pairs**2).mean()))},
        "mean_cosine": {
            "rms": float(np.sqrt((mean**2).mean())),
            "expected_rms_by_chance": float(np.sqrt((error**2).mean())),
        },
        "split_half_correlation": float(np.corrcoef(*halves)[0, 1]),
        "pairs_with_large_t": int((np.abs(_t(pairs)) > _LARGE_T).sum()),
        "expected_by_chance": float(np.mean([f.sum() for f in flipped])),
        "all_layers_over_sum": [float(f.sum() / np.trace(f)) for f in form],
    }


def _t(pairs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = pairs.mean(0) / (pairs.std(0, ddof=1) / np.sqrt(len(pairs)))
    return found


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--keep", type=Path, help="keeps the differences here, and goes on there")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/method/layer-interactions.json")
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        form, off = forms(*disturb(arguments.images, folder))
    result = {
        "machine": describe_machine(torch.device("cpu")).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ("python -m benchmarks.layer_interactions " + " ".join(sys.argv[1:])).strip(),
        "model": MODEL,
        "quant_type": QUANT_TYPE,
        "images": arguments.images,
        "own_loss_off_by_median": off,
        **describe(form),
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k not in ("machine", "versions")}))


if __name__ == "__main__":
    main()
