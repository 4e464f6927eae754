"""What a LoRA changes about quantizing: profile a model without and with it, and compare.

    python examples/lora.py style.safetensors --model PixArt-alpha/PixArt-XL-2-1024-MS
    python examples/lora.py style.safetensors --scale 0.8 --steps 4 --prompt "a red apple"

Each ``# %%`` begins a cell for editors that run cells.
"""

# %%
import argparse

from pixart_tui import find_lora, profile, select

parser = argparse.ArgumentParser()
parser.add_argument("lora", help="a safetensors file, or a directory with one")
parser.add_argument("--model", default="pixart-emoji")
parser.add_argument("--scale", type=float, default=1.0)
parser.add_argument("--prompt", action="append")
parser.add_argument("--steps", type=int)
parser.add_argument("--draws", type=int, default=8)
parser.add_argument("--device")
options = parser.parse_args()

# %% Which file it is: its hash stands in everything that is measured with it.
lora = find_lora(options.lora, options.scale)
print("merging", lora.whole_words)

# %% The same images, without the LoRA and with it.
asked = {
    "quant_type": "fp8_e4m3_e4m3_dynamic",
    "prompts": options.prompt or ["a red apple", "a robot"],
    "steps": options.steps,
    "draws": options.draws,
    "device": options.device,
}
plain = profile(options.model, **asked)
merged = profile(options.model, lora=lora, **asked)
assert merged.record.conditions.model_fingerprint != plain.record.conditions.model_fingerprint


# %% The layers that the LoRA makes more sensitive.
def losses(found):
    """1 - SSIM of each layer that was measured."""
    scores = found.profile.scores()
    return {score.layer.fqn: 1 - score.ssim for score in scores if score.ssim is not None}


before, after = losses(plain), losses(merged)
ratios = {name: after[name] / before[name] for name in after if before.get(name, 0) > 0}
for name in sorted(ratios, key=ratios.__getitem__, reverse=True)[:10]:
    print(f"{name:50} {before[name]:.1e} -> {after[name]:.1e}  x {ratios[name]:.2f}")

# %% Whether the layers that were chosen without it are still the right ones.
chosen, chosen_merged = (set(select(x, flops_share=0.8).chosen) for x in (plain, merged))
print(f"{len(chosen & chosen_merged)} of {len(chosen_merged)} layers are chosen in both")
merged.save("lora_fp8_e4m3.json")
