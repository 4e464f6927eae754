"""Profiles of a distilled model and of Sigma, used in the pipelines that people call.

    python examples/distilled_and_pag.py LCM_MODEL SIGMA_MODEL

LCM_MODEL and SIGMA_MODEL are diffusers directories or Hugging Face ids. The first one draws in four
steps without guidance; the second one is profiled as it is and called with perturbed attention
guidance (PAG), whose weights are the same.
"""

# %%
import sys

import torch
from diffusers import LCMScheduler, PixArtAlphaPipeline, PixArtSigmaPAGPipeline

from pixart_tui import optimize, profile, select

lcm_model, sigma_model = sys.argv[1:]
on_gpu = torch.cuda.is_available()
device, dtype = ("cuda", torch.bfloat16) if on_gpu else ("cpu", torch.float32)
quant_type = "fp8_e4m3_e4m3_dynamic" if on_gpu else "int8_dynamic"
compiler = "torch" if on_gpu else "none"
prompts = ["a lighthouse at dawn", "a robot"]

# %% A distilled model is profiled as it is called: few steps, no guidance.
asked = {"quant_type": quant_type, "prompts": prompts, "steps": 4, "draws": 4}
found = profile(lcm_model, guidance_scale=0, **asked)
pipe = PixArtAlphaPipeline.from_pretrained(lcm_model, torch_dtype=dtype).to(device)
pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
optimize(pipe, selection=select(found, flops_share=0.8), compiler=compiler)
image = pipe(prompts[0], num_inference_steps=4, guidance_scale=0.0).images[0]
print("distilled:", image.size)

# %% PAG sets attention of its own at each call: torch.compile runs its blocks on a GPU.
found = profile(sigma_model, **asked)
pag = PixArtSigmaPAGPipeline.from_pretrained(
    sigma_model, torch_dtype=dtype, pag_applied_layers=["blocks.1"]
).to(device)
optimize(pag, selection=select(found, flops_share=0.8), compiler=compiler)
call = {"num_inference_steps": 4, "use_resolution_binning": False}
image = pag(prompts[0], pag_scale=3.0, **call).images[0]
print("with PAG:", image.size)
