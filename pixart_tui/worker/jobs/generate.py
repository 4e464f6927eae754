"""A generation: the engine's findings into the journal, its images into files."""

from __future__ import annotations

import threading
from pathlib import Path

from pixart_tui.domain.events import ArtifactWritten, CallMade, Event, StageChanged
from pixart_tui.domain.events.roles import Role
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.generation import PipelineCall
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.engine.generation import Drawn, generate
from pixart_tui.runs.results.image_files import write_image
from pixart_tui.runs.run import Run
from pixart_tui.worker.context import Check, Emit


def run_generate(run: Run, request: GenerateRequest, emit: Emit, check: Check) -> None:
    """Makes the images, and whatever else is timed after them.

    Raises:
        RequestError: The model, or how it is to run, cannot be used as asked.
        WorkError: Memory does not hold the images, or a file cannot be written.
    """
    lock = threading.Lock()

    def tell(event: Event) -> None:
        # What compiles tells of itself from a thread of its own.
        with lock:
            emit(event)

    for finding in generate(request, tell, check):
        check()
        match finding:
            case PipelineCall():
                tell(CallMade(call=finding))
            case Drawn():
                tell(CallMade(call=finding.call))
                _write(run, request, finding, tell)
            case _:
                tell(finding)


def _write(run: Run, request: GenerateRequest, drawn: Drawn, tell: Emit) -> None:
    """Every image into the run's directory, the first one where the user said."""
    tell(
        StageChanged(
            stage=Stage.WRITING, detail=Path(request.output).name if request.output else ""
        )
    )
    for index, pixels in enumerate(drawn.images):
        path = run.paths.artifacts / f"image-{index}.png"
        write_image(path, pixels, parents=False)
        tell(_artifact(Role.IMAGE, str(path.relative_to(run.paths.directory)), request))
    if request.output is not None:
        write_image(Path(request.output), drawn.images[0])
        tell(_artifact(Role.OUTPUT_IMAGE, request.output, request))


def _artifact(role: Role, path: str, request: GenerateRequest) -> ArtifactWritten:
    return ArtifactWritten(
        role=role,
        path=path,
        prompt=request.prompts[0],
        seed=request.seed,
        label=request.compiler,
    )
