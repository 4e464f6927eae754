"""The fields of the form, each an option of the command line, and the line that they make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pixart_tui.domain.deploying.deployment import COMPILERS
from pixart_tui.domain.layers.quant_types import QUANT_TYPE_NAMES
from pixart_tui.domain.requests import DEFAULT_DRAWS, DEFAULT_QUANT_TYPE

FormKind = Literal["profile", "bench"]


@dataclass(frozen=True, slots=True)
class FormField:
    """One line of the form.

    Attributes:
        option: The option that it fills.
        label: Its name.
        default: What holds where it stays empty.
        about: What may be typed.
        choices: Some of the values that it takes; the right arrow completes them.
        several: Whether commas separate several values.
    """

    option: str
    label: str
    default: str
    about: str
    choices: tuple[str, ...] = ()
    several: bool = False


_MODEL: Final = FormField(
    "--model",
    "model",
    "pixart-emoji",
    "pixart-emoji, a directory, a Hugging Face id, synthetic:alpha or synthetic:sigma",
    ("pixart-emoji", "synthetic:alpha", "synthetic:sigma"),
)
_PROMPTS: Final = FormField(
    "--prompts-file",
    "prompts file",
    "the prompts that ship with the package",
    "a text file with one prompt a line; lines that begin with # are skipped",
)
_STEPS: Final = FormField("--steps", "steps", "the model's", "denoising steps, 1 to 1000")
_HEIGHT: Final = FormField("--height", "height", "the model's", "pixels, a multiple of 16")
_WIDTH: Final = FormField("--width", "width", "the model's", "pixels, a multiple of 16")
_DEVICE: Final = FormField(
    "--device", "device", "a GPU if there is one", "cpu, cuda or cuda:N", ("cpu", "cuda")
)

FIELDS: Final[dict[FormKind, tuple[FormField, ...]]] = {
    "profile": (
        _MODEL,
        FormField(
            "--quant-type",
            "quant types",
            DEFAULT_QUANT_TYPE,
            "nexfort names separated by commas, measured together; or all",
            (*QUANT_TYPE_NAMES, "all"),
            several=True,
        ),
        FormField(
            "--method",
            "method",
            "adjoint",
            "adjoint: all layers in one pass; exhaustive: each layer alone, far slower",
            ("adjoint", "exhaustive"),
        ),
        FormField(
            "--draws",
            "draws",
            str(DEFAULT_DRAWS),
            "adjoint: random functionals of each image, 1 to 256; more are surer and slower",
        ),
        FormField(
            "--max-minutes",
            "max minutes",
            "no limit",
            "adjoint: no further prompt begins after so long",
        ),
        _PROMPTS,
        FormField("--seeds", "seeds", "1", "images for each prompt, 1 to 1000"),
        _STEPS,
        FormField(
            "--guidance-scale", "guidance", "the model's", "0 to 100; 1 or less switches it off"
        ),
        _HEIGHT,
        _WIDTH,
        _DEVICE,
        FormField(
            "--output",
            "output",
            "profiles/MODEL/NAME.json",
            "the JSON that OneDiff reads; all measurements are written beside it",
        ),
    ),
    "bench": (
        _MODEL,
        FormField(
            "--compiler",
            "compilers",
            "compile",
            "names separated by commas; none is the baseline and always measured",
            COMPILERS,
            several=True,
        ),
        FormField(
            "--quantize-config",
            "quant type",
            "nothing is quantized",
            "a nexfort name: a quantized row for each compiler",
            QUANT_TYPE_NAMES,
        ),
        FormField(
            "--quant-submodules-config-path",
            "layer file",
            "every layer that can be quantized",
            "the layers' JSON, of a profile or a selection",
        ),
        FormField(
            "--matrix",
            "matrix",
            "the compilers above",
            "onediff: the rows of OneDiff's report, in place of compilers and quant type",
            ("onediff",),
        ),
        _PROMPTS,
        _STEPS,
        _HEIGHT,
        _WIDTH,
        _DEVICE,
        FormField("--json", "output", "no file", "a file for the results"),
    ),
}


def words_of(kind: FormKind, values: Mapping[str, str]) -> list[str]:
    """The command line that the form stands for, without the program's name.

    Args:
        kind: The command.
        values: Text of the fields by option; empty ones are left out.
    """
    words: list[str] = [kind]
    for field in FIELDS[kind]:
        text = values.get(field.option, "").strip()
        if text:
            words += _option_words(field, text)
    if kind == "bench" and _quantizes(words):
        words.insert(1, "--quantize")
    return words


def _option_words(field: FormField, text: str) -> list[str]:
    if field.several:
        parts = (part.strip() for part in text.split(","))
        return [word for part in parts if part for word in (field.option, part)]
    if field.option == "--quantize-config":
        return [field.option, json.dumps({"quant_type": text})]
    return [field.option, text]


def _quantizes(words: list[str]) -> bool:
    return "--quantize-config" in words or "--quant-submodules-config-path" in words


def blamed_field(kind: FormKind, option: str) -> FormField | None:
    """The field that an option belongs to; the quant type of a bench has two names."""
    if kind == "bench" and option == "--quant-type":
        option = "--quantize-config"
    return next((field for field in FIELDS[kind] if field.option == option), None)
