"""``pixart-tui generate``: the flags of OneDiff's ``text_to_image.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

import click

from pixart_tui.cli.display.starting import carry_out
from pixart_tui.cli.display.writing import say
from pixart_tui.cli.options.common import check_output, sampling_fields
from pixart_tui.cli.options.quantization import quantization_fields
from pixart_tui.cli.options.weights import weight_options
from pixart_tui.domain.deploying.compiler_config import check_nexfort_config, parse_compiler_config
from pixart_tui.domain.deploying.deployment import COMPILERS, ONEDIFF_BACKENDS, Compiler
from pixart_tui.domain.deploying.onediff_backends import oneflow_does_not_quantize, require_backend
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.generation import parse_call_options
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.runs.files import make_parent
from pixart_tui.runs.results.image_files import image_format

_SIDES: Final = click.IntRange(64, 8192)
_SAMPLING: Final = ("model", "variant", "lora", "lora_scale", "negative_prompt", "steps")
_YES: Final = ("true", "1", "yes")
_NO: Final = ("false", "0", "no")


@click.command(
    epilog="""\b
Examples:
  pixart-tui generate --prompt "red apple" --scheduler none --steps 20 --output-image apple.png
  pixart-tui generate --prompt "red apple" --scheduler none --print-output
  pixart-tui generate --prompt "red apple" --scheduler none --lora style.safetensors
  pixart-tui generate --model PixArt-alpha/PixArt-XL-2-1024-MS --scheduler none --steps 20 \\
      --compiler torch --quantize --quantize-config '{"quant_type": "fp8_e4m3_e4m3_dynamic"}' \\
      --quant-submodules-config-path fp8_e4m3.json --output-image fp8.png"""
)
@click.option(
    "--model",
    type=click.Path(),
    metavar="TEXT",
    default="pixart-emoji",
    show_default=True,
    help="pixart-emoji, a directory, a Hugging Face id, synthetic:alpha or synthetic:sigma.",
)
@weight_options
@click.option(
    "--scheduler",
    default="EulerAncestralDiscreteScheduler",
    show_default=True,
    metavar="NAME",
    help="A scheduler of diffusers; none for the model's own.",
)
@click.option("--steps", type=click.IntRange(1, 1000), default=30, show_default=True)
@click.option(
    "--prompt",
    default="best quality, realistic, unreal engine, 4K, a beautiful girl",
    show_default=True,
    metavar="TEXT",
)
@click.option("--negative-prompt", default="", metavar="TEXT")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=333, show_default=True)
@click.option(
    "--warmups",
    type=click.IntRange(0, 1000),
    default=1,
    show_default=True,
    help="Pipeline calls before the one that is timed.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at once."
)
@click.option("--height", type=_SIDES, help="Pixels; by default the model's own.")
@click.option("--width", type=_SIDES, help="Pixels; by default the model's own.")
@click.option(
    "--extra-call-kwargs",
    metavar="JSON",
    default="{}",
    help='More arguments of the pipeline call: {"guidance_scale": 4.5}',
)
@click.option(
    "--output-image",
    type=click.Path(path_type=Path),
    help="Save the first image here, in the format that the name says.",
)
@click.option("--print-output", is_flag=True, help="Show the images in the terminal.")
@click.option(
    "--throughput", is_flag=True, help="Time calls of 1 to 99 steps too, and fit a line to them."
)
@click.option(
    "--run_multiple_resolutions",
    "--run-multiple-resolutions",
    "multiple_resolutions",
    is_flag=False,
    flag_value="1",
    default="0",
    metavar="[1|0]",
    help="Time 16 other sizes too.",
)
@click.option("--compiler", type=click.Choice(COMPILERS), default="none", show_default=True)
@click.option(
    "--compiler-config",
    metavar="JSON",
    help='For torch and nexfort: {"mode": "a:b:c", "memory_format": "channels_last"}',
)
@click.option("--quantize", is_flag=True, help="Quantize the transformer's layers.")
@click.option(
    "--quantize-config",
    metavar="JSON",
    help='{"quant_type": NAME, "top_percentage": P}',
)
@click.option(
    "--quant-submodules-config-path",
    type=click.Path(path_type=Path),
    help="The layers' JSON: of OneDiff's the best 90% by SSIM, of a mixed selection all it says.",
)
@click.option("--device", help="cpu, cuda or cuda:N; by default a GPU if there is one.")
@click.option(
    "--display",
    type=click.Choice(("plain", "json", "none")),
    default="plain",
    show_default=True,
    help="How to watch: progress, events as JSON lines, or not at all.",
)
def generate(
    output_image: Path | None, compiler: str, device: str | None, display: str, **options: Any
) -> int:
    """Draw images with one setting and time it, with the flags of OneDiff's text_to_image.py."""
    chosen = cast(Compiler, compiler)
    if chosen in ONEDIFF_BACKENDS:
        require_backend(chosen)
    request = GenerateRequest(
        **_sampling(options, device),
        **_quantization(options, chosen),
        **{name: options[name] for name in ("scheduler", "seed", "warmups", "batch")},
        compiler=chosen,
        compiler_config=_compiler_config(options["compiler_config"], chosen),
        call_options=parse_call_options(options["extra_call_kwargs"]),
        multiple_resolutions=_is_yes(options["multiple_resolutions"]),
        throughput=options["throughput"],
        print_output=options["print_output"],
        output=_output(output_image),
    )
    return carry_out(request, display)[1]


def _sampling(options: dict[str, Any], device: str | None) -> dict[str, Any]:
    """Sizes are checked by the model: most models draw any, at the nearest that they know."""
    asked = {name: options[name] for name in _SAMPLING}
    rest = {"prompts_file": None, "guidance_scale": None, "height": None, "width": None}
    fields = sampling_fields({**asked, **rest, "prompts": (), "device": device})
    return fields | {
        "prompts": (options["prompt"],),
        "height": options["height"],
        "width": options["width"],
    }


def _quantization(options: dict[str, Any], compiler: Compiler) -> dict[str, Any]:
    """The fields; without ``--quantize`` they are checked all the same, and have no effect."""
    config, layers = options["quantize_config"], options["quant_submodules_config_path"]
    fields = quantization_fields(config or "{}", layers, [compiler])
    if not options["quantize"]:
        if config is not None or layers is not None:
            _tell_no_effect("the quantization options have", "--quantize is not given")
        return {}
    if compiler == "oneflow":
        raise oneflow_does_not_quantize()
    return fields | {"quantize": True}


def _compiler_config(text: str | None, compiler: Compiler) -> str:
    """The canonical text, empty for the defaults."""
    if text is None:
        return ""
    if compiler == "torch":
        return parse_compiler_config(text).to_json()
    checked = check_nexfort_config(text)
    if compiler == "nexfort":
        return checked
    _tell_no_effect("--compiler-config has", f"--compiler {compiler} takes none")
    return ""


def _tell_no_effect(what: str, why: str) -> None:
    say(f"notice: {what} no effect: {why}", err=True)


def _is_yes(text: str) -> bool:
    """As the script reads it, but that what is neither yes nor no is no silent no."""
    if text.lower() in _YES + _NO:
        return text.lower() in _YES
    raise RequestError(
        f"--run_multiple_resolutions cannot be {text!r}"[:200],
        cause=f"yes is {', '.join(_YES)}; no is {', '.join(_NO)}",
        next_step="for example: --run_multiple_resolutions 1",
    )


def _output(path: Path | None) -> str | None:
    """Where the image is saved: known to be possible before anything is computed."""
    if path is None:
        return None
    image_format(path)
    checked = check_output(path)
    make_parent(checked)
    return str(checked)
