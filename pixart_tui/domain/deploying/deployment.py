"""How a pipeline is made to run: compiler, quantized layers, attention, memory."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.values import Value

OnediffBackend = Literal["nexfort", "oneflow"]
ONEDIFF_BACKENDS: tuple[OnediffBackend, ...] = ("nexfort", "oneflow")

Compiler = Literal["none", "compile", "compile-max-autotune", "torch", OnediffBackend]
COMPILERS: tuple[Compiler, ...] = (
    *("none", "compile", "compile-max-autotune", "torch"),
    *ONEDIFF_BACKENDS,
)

VaeDecoding = Literal["whole", "sliced", "strips", "tiled"]
VAE_DECODINGS: tuple[VaeDecoding, ...] = ("whole", "sliced", "strips", "tiled")


class MemoryOptions(Value):
    """Switches that save GPU memory; the defaults do nothing.

    Attributes:
        text_encoder_8bit: Whether the text encoder's linears hold int8 weights.
        text_encoder_host_blocks: Blocks of the text encoder, counted from the last, that wait in
            host memory and are copied to the GPU for each prompt; all of them when it is larger
            than their number.
        vae: How the image is decoded: ``whole``; ``sliced``, one image at a time; ``strips``, one
            image at a time and its large tensors in horizontal strips, with the same result;
            ``tiled``, overlapping tiles that are blended, which changes pixels a little.
        budget_bytes: What a pipeline call may take; the switches are then chosen for it once the
            pipeline is loaded and stay at their defaults here. None: the switches stand.
    """

    text_encoder_8bit: bool = False
    text_encoder_host_blocks: Annotated[int, Field(ge=0)] = 0
    vae: VaeDecoding = "whole"
    budget_bytes: Annotated[int, Field(gt=0)] | None = None

    @property
    def label(self) -> str:
        """The switches that are on, in a few words; empty if none is."""
        parts = (
            ("int8-t5", self.text_encoder_8bit),
            (f"host-t5-{self.text_encoder_host_blocks}", self.text_encoder_host_blocks > 0),
            (f"{self.vae}-vae", self.vae != "whole"),
            (f"budget-{(self.budget_bytes or 0) / 2**30:g}GiB", self.budget_bytes is not None),
        )
        return "+".join(name for name, on in parts if on)


class Deployment(Value):
    """Everything that is done to a pipeline before it is called.

    Attributes:
        compiler: The compiler.
        compiler_config: What the compiler is given, as JSON text; empty for its defaults.
        choice: Which of the transformer's layers are quantized, to what, and at which steps.
        layer_file: Absolute path of the onediffx JSON that the layers come from; empty for none.
            Only onediffx reads it again.
        top_percentage: The share of that file's layers, by count, that is quantized.
        fp8_attention: Whether self-attention multiplies in fp8, in all blocks.
        attention: The blocks whose self-attention does, where not all are asked for, and when.
        memory: What is done to need less GPU memory.
    """

    compiler: Compiler = "none"
    compiler_config: str = ""
    choice: Choice = Choice()
    layer_file: str = ""
    top_percentage: float = 100.0
    fp8_attention: bool = False
    attention: Choice = Choice()
    memory: MemoryOptions = MemoryOptions()

    @property
    def doubled_layers(self) -> tuple[str, ...]:
        """The layers whose weights are there twice: quantized, and as they were for kept steps."""
        choice = self.choice
        return tuple(fqn for fqn in choice.assignments if not choice.is_at_every_step(fqn))

    @property
    def _attention_label(self) -> str:
        blocks = len(self.attention.assignments)
        if self.fp8_attention or not blocks:
            return "fp8-attention" if self.fp8_attention else ""
        return f"fp8-attention-{blocks}"

    @property
    def label(self) -> str:
        """A short name."""
        parts = (
            self.compiler,
            self.choice.quant_type,
            self._attention_label,
            self.choice.kept_steps.label,
            self.memory.label,
        )
        return "+".join(part for part in parts if part)
