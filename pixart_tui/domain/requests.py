"""Requests: the content of a run's ``request.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pixart_tui.domain.deploying.deployment import Compiler, MemoryOptions
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.generation import CallOptions
from pixart_tui.domain.layers.quant_types import (
    FP8_ATTENTION,
    DtypeName,
    ExecutionName,
    default_profile_filename,
)
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.lora import Lora
from pixart_tui.domain.profiles.effects import Method
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.selecting.rules import DEFAULT_RULE, Rule
from pixart_tui.domain.selecting.verification import ImageSet
from pixart_tui.domain.timesteps import Timesteps, check_agreement
from pixart_tui.domain.values import Value, read_old_names

DEFAULT_QUANT_TYPE = "fp8_e4m3_e4m3_dynamic"
DEFAULT_TOP_PERCENTAGE: Final = DEFAULT_RULE.usual
DEFAULT_DRAWS = 16


Matrix = Annotated[
    Literal["", "onediff"], BeforeValidator(lambda name: "onediff" if name == "seed" else name)
]
"""A ready set of a benchmark's rows; empty for none. An earlier version wrote it as ``seed``."""


class SamplingRequest(Value):
    """The part of a request that says which images are made. None means the model's default.

    Attributes:
        model: ``pixart-emoji``, a directory, a Hugging Face id, or ``synthetic:...``.
        variant: Which of the model's weight files: ``fp16``; empty for those without a name.
        lora: A LoRA that is merged into the transformer when the model is loaded; None for none.
        prompts: The prompts; empty for the prompts that ship with the package.
        negative_prompt: What guidance steers away from.
        num_inference_steps: Denoising steps.
        timesteps: Timesteps in place of a number of steps, descending; empty for none.
        guidance_scale: Classifier-free guidance; 1 or less switches it off.
        height: Pixels.
        width: Pixels.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads that torch uses; part of the request because results depend on it.
    """

    model: str = "pixart-emoji"
    variant: str = ""
    lora: Lora | None = None
    prompts: tuple[str, ...] = ()
    negative_prompt: str = ""
    num_inference_steps: Annotated[int, Field(ge=1)] | None = None
    timesteps: Timesteps = ()
    guidance_scale: Annotated[float, Field(ge=0)] | None = None
    height: Annotated[int, Field(ge=16)] | None = None
    width: Annotated[int, Field(ge=16)] | None = None
    device: str = "cpu"
    threads: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _one_number_of_steps(self) -> Self:
        check_agreement(self.num_inference_steps, self.timesteps)
        return self

    def sampling(self) -> dict[str, Any]:
        """The fields that every request has, to make one of another kind with."""
        return {name: getattr(self, name) for name in SamplingRequest.model_fields}

    @property
    def model_words(self) -> str:
        """The model, and the LoRA that is merged into it."""
        return f"{self.model} + {self.lora.words}" if self.lora else self.model

    @property
    def weight_options(self) -> tuple[str, ...]:
        """The options of the command line that say which weights are loaded, besides --model."""
        variant = ("--variant", self.variant) if self.variant else ()
        return variant if self.lora is None else (*variant, *self.lora.options)


def as_profiled(conditions: Conditions) -> dict[str, Any]:
    """The fields of a request for images like those of a profile, its prompts aside."""
    shared = SamplingRequest.model_fields.keys() & Conditions.model_fields.keys()
    return {name: getattr(conditions, name) for name in shared - {"prompts"}}


class ProfileRequest(SamplingRequest):
    """Measure how much each layer's quantization changes the image.

    Attributes:
        quant_type: The quant type each layer is measured under.
        more_quant_types: Further ones, which the adjoint method measures in the same pass.
        fp8_attention: Whether the adjoint method measures each block's self-attention in fp8 too.
        execution: ``simulated``: the quantized layer computes the reference numerics; ``real``: it
            runs the kernel that deployment runs.
        baseline_dtype: Dtype of the model around the quantized layer and of the baseline.
        method: ``adjoint``: one backward pass a sample for all layers; ``exhaustive``: every layer
            alone, whole images.
        draws: Random functionals of each sample's image that the adjoint method carries back.
        cut: The percentage of the layers, by count, that would be quantized: the adjoint method
            ends early once it is settled which.
        all_samples: Whether every sample is measured even if the cut is settled before.
        max_minutes: After how long the adjoint method begins no further sample; None for no limit.
        low_memory: Whether the adjoint method needs as little memory as it can.
        seeds: One image per prompt and seed.
        checks: Absolute path of a third party's OneDiff JSON to compare with the measurement;
            None for none.
        output: Absolute path of the onediffx JSON; its sidecar stands beside it. With several quant
            types, those of the others are named after them, in the same directory.
    """

    kind: Literal["profile"] = "profile"
    quant_type: str = DEFAULT_QUANT_TYPE
    more_quant_types: tuple[str, ...] = ()
    fp8_attention: bool = False
    execution: ExecutionName = "simulated"
    baseline_dtype: DtypeName = "float32"
    method: Method = "adjoint"
    draws: Annotated[int, Field(ge=1)] = DEFAULT_DRAWS
    cut: Annotated[float, Field(ge=0, le=100)] = DEFAULT_TOP_PERCENTAGE
    all_samples: bool = False
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    low_memory: bool = False
    seeds: tuple[int, ...] = (0,)
    checks: str | None = None
    output: str

    @property
    def quant_types(self) -> tuple[str, ...]:
        """All of them, the first one first, and fp8 attention behind them if it is measured."""
        attention = (FP8_ATTENTION,) if self.fp8_attention else ()
        return (self.quant_type, *self.more_quant_types, *attention)

    @property
    def unit(self) -> str:
        """Returns the unit of the work: ``samples`` or ``layers``."""
        return "samples" if self.method == "adjoint" else "layers"


def no_attention_of_whole_images() -> RequestError:
    """Fp8 attention is asked for, of the exhaustive method."""
    return RequestError(
        "the exhaustive method measures layers alone",
        cause="fp8 attention is priced in the adjoint method's backward pass",
        next_step="use --method adjoint, or leave --fp8-attention out",
        option="--fp8-attention",
    )


def output_of(request: ProfileRequest, quant_type: str) -> Path:
    """Where the onediffx JSON of one of a profile's quant types goes."""
    output = Path(request.output)
    if quant_type == request.quant_type:
        return output
    return output.with_name(default_profile_filename(quant_type))


class BenchRequest(SamplingRequest):
    """Measure speed, memory, warm-up and image quality of compilers and quantization.

    Attributes:
        compilers: One row each; ``none`` is the baseline and is always measured first.
        compiler_config: What the compiler ``torch`` is given, as JSON text; empty for defaults.
        quantize: Whether each compiler also gets a quantized row.
        quant_type: The quant type of those rows.
        quant_submodules_config_path: Absolute path of the onediffx JSON that says which layers;
            None quantizes every layer that the kernels can run.
        top_percentage: The share of that file's layers, by count, that is quantized.
        fp8_attention: Whether the quantized rows of ``torch`` multiply self-attention in fp8 too.
        kept_steps: Steps at which nothing is quantized in the quantized rows.
        memory: What is done to need less GPU memory, in every row but the baseline; in a matrix,
            in its memory row.
        matrix: A ready set of rows in place of compilers and quantization; empty for none.
        rows: The matrix's rows that are measured, by name; empty for all. The baseline always is.
        seed: Seed of the initial noise.
        repeats: Timed pipeline calls of one process after the warm-up.
        rounds: How often the rows take turns, each time in a fresh process.
        cold: Whether a start with empty compiler caches is measured. Without it a row takes one
            process less and begins with what the kept compile cache holds, nothing included.
        warm_cache: Whether compiled rows start with the kept compile cache of this machine's
            kind, and no start with empty caches is measured.
        output: Absolute path of the JSON with the results, None for none.
        command: The command line, for the record.
    """

    kind: Literal["bench"] = "bench"
    compilers: tuple[Compiler, ...] = ("none", "compile")
    compiler_config: str = ""
    quantize: bool = False
    quant_type: str = DEFAULT_QUANT_TYPE
    quant_submodules_config_path: str | None = None
    top_percentage: Annotated[float, Field(ge=0, le=100)] = DEFAULT_TOP_PERCENTAGE
    fp8_attention: bool = False
    kept_steps: KeptSteps = NO_STEPS
    memory: MemoryOptions = MemoryOptions()
    matrix: Matrix = ""
    rows: tuple[str, ...] = ()
    seed: int = 0
    repeats: Annotated[int, Field(ge=1)] = 5
    rounds: Annotated[int, Field(ge=1)] = 1
    cold: bool = True
    warm_cache: bool = False
    output: str | None = None
    command: str = ""


class GenerateRequest(SamplingRequest):
    """Make images with one setting, as OneDiff's ``text_to_image.py`` does.

    There is one prompt.

    Attributes:
        scheduler: A scheduler of diffusers by its class; ``none`` leaves the model's own.
        seed: Seed of the initial noise, which is drawn on the device.
        warmups: Pipeline calls before the one that is timed.
        batch: Images of a pipeline call.
        compiler: The compiler.
        compiler_config: What it is given, as JSON text; empty for its defaults.
        quantize: Whether layers are quantized.
        quant_type: The quant type.
        quant_submodules_config_path: Absolute path of the onediffx JSON that says which layers;
            None quantizes every layer that the kernels can run.
        top_percentage: The share of that file's layers, by count, that is quantized.
        call_options: More of the pipeline call's arguments.
        multiple_resolutions: Whether 16 other sizes are timed afterwards.
        throughput: Whether calls of 1 to 99 steps are timed afterwards.
        print_output: Whether the user wants to see the images.
        output: Absolute path that the first image is saved as, None for nowhere.
    """

    kind: Literal["generate"] = "generate"
    scheduler: str = "none"
    seed: Annotated[int, Field(ge=0)] = 0
    warmups: Annotated[int, Field(ge=0)] = 1
    batch: Annotated[int, Field(ge=1)] = 1
    compiler: Compiler = "none"
    compiler_config: str = ""
    quantize: bool = False
    quant_type: str = DEFAULT_QUANT_TYPE
    quant_submodules_config_path: str | None = None
    top_percentage: Annotated[float, Field(ge=0, le=100)] = DEFAULT_TOP_PERCENTAGE
    call_options: CallOptions = CallOptions()
    multiple_resolutions: bool = False
    throughput: bool = False
    print_output: bool = False
    output: str | None = None


class VerifyRequest(SamplingRequest):
    """Measure a selection as a whole, and repair it until it holds.

    The model and how its images are made are those of the profiles.

    Attributes:
        profiles: Absolute paths of the profiles' JSON files, one for each quant type.
        rule: The rule that selects.
        parameter: Its parameter.
        fused: Whether layers that read the same rows are decided together.
        repairing: Images to repair on; None for some that ship with the package.
        reporting: Images of the verified figure; None for some that ship with the package.
        repair_images: How many to repair on, where they are not given.
        report_images: How many to report on, where they are not given.
        kept_steps: Steps at which nothing is quantized.
        choose_steps: Whether to choose how many of the last steps are kept besides.
        rounds: The most selections that are measured on the repair set.
        onediff_rule: Whether OneDiff's rule is measured beside, at the same share of FLOPs.
        output: Absolute path of the selection.
    """

    kind: Literal["verify"] = "verify"
    profiles: Annotated[tuple[str, ...], Field(min_length=1)]
    rule: Rule
    parameter: float
    fused: bool = False
    repairing: ImageSet | None = None
    reporting: ImageSet | None = None
    repair_images: Annotated[int, Field(ge=1)] = 8
    report_images: Annotated[int, Field(ge=2)] = 16
    kept_steps: KeptSteps = NO_STEPS
    choose_steps: bool = False
    rounds: Annotated[int, Field(ge=1)] = 6
    onediff_rule: bool = False
    output: str

    _old = model_validator(mode="before")(read_old_names({"seed_rule": "onediff_rule"}))


class ExportRequest(SamplingRequest):
    """Write a quantized checkpoint of the transformer.

    Attributes:
        record: The selection.
        dtype: Of what is not quantized.
        output: Absolute path of the checkpoint's directory.
    """

    kind: Literal["export"] = "export"
    record: SelectionSidecar
    dtype: DtypeName = "bfloat16"
    output: str


class CompareRequest(SamplingRequest):
    """Make images unquantized and quantized, and lay them side by side.

    Attributes:
        quant_type: What the layers are quantized to.
        execution: As of a profile.
        baseline_dtype: As of a profile.
        layers: The layers that are quantized together; empty for every one that can be.
        seeds: One image per prompt and seed.
        output: Absolute path of the picture with everything side by side.
    """

    kind: Literal["compare"] = "compare"
    quant_type: str = DEFAULT_QUANT_TYPE
    execution: ExecutionName = "simulated"
    baseline_dtype: DtypeName = "float32"
    layers: tuple[str, ...] = ()
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    output: str


AnyRequest = (
    ProfileRequest | BenchRequest | GenerateRequest | VerifyRequest | CompareRequest | ExportRequest
)
Request = Annotated[AnyRequest, Field(discriminator="kind")]
