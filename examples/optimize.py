"""Make a pipeline of your own faster, and take it back.

    python examples/optimize.py MODEL [LAYERS.json]

MODEL is a diffusers directory or a Hugging Face id. With a layer file (``pixart-tui select``), its
layers are quantized; without one, all that the kernels can run. On a GPU that is fp8 and our own
kernels; on a CPU it is int8, to try the calls.
"""

from __future__ import annotations

import sys
import time

import torch
from diffusers import DiffusionPipeline

from pixart_tui import optimize, restore

model, *layers = sys.argv[1:]
on_gpu = torch.cuda.is_available()
pipe = DiffusionPipeline.from_pretrained(
    model, torch_dtype=torch.bfloat16 if on_gpu else torch.float32
).to("cuda" if on_gpu else "cpu")


def timed(label: str) -> None:
    """Draws twice, as the first call compiles, and times the second."""
    for _ in range(2):
        begun_s = time.perf_counter()
        image = pipe(
            "a lighthouse at dawn",
            num_inference_steps=4,
            generator=torch.Generator("cpu").manual_seed(0),
        ).images[0]
    print(f"{label}: {time.perf_counter() - begun_s:.2f} s, {image.size}")


timed("as loaded")
optimize(
    pipe,
    selection=layers[0] if layers else None,
    quant_type="fp8_e4m3_e4m3_dynamic" if on_gpu else "int8_dynamic",
    compiler="torch" if on_gpu else "none",
)
timed("optimized")
restore(pipe)
timed("restored")
