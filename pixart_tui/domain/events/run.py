"""Events of every run: its attempts, stages, notices and files."""

from __future__ import annotations

from typing import Literal

from pixart_tui.domain.errors import (
    CancelledError,
    PixartTuiError,
    RequestError,
    WorkError,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.domain.values import Value


class AttemptStarted(Value):
    """A worker lives; it begins, or resumes, the work once it holds the device.

    Attributes:
        attempt: 1 for the first worker of the run, one more for each that resumes it.
    """

    type: Literal["attempt_started"] = "attempt_started"
    attempt: int


class StageChanged(Value):
    """The work enters a stage, or moves within it.

    Attributes:
        stage: The stage.
        detail: What exactly, in words: a prompt, a layer, a file.
        done: Parts of the stage that are done.
        total: Parts of the stage, 0 where it has none.
    """

    type: Literal["stage"] = "stage"
    stage: Stage
    detail: str = ""
    done: int = 0
    total: int = 0


class Noticed(Value):
    """Something that the user did not ask for, or asked for and does not get as asked.

    Attributes:
        text: One sentence.
    """

    type: Literal["noticed"] = "noticed"
    text: str


class ArtifactWritten(Value):
    """A file stands complete.

    Attributes:
        role: A :class:`~pixart_tui.domain.events.roles.Role`.
        path: Absolute, or relative to the run's directory.
        prompt: The prompt of an image.
        seed: The seed of an image.
        label: The layer or the bench row of an image.
        comparison: How far an image is from the baseline's of its prompt and seed, where no other
            event says so.
    """

    type: Literal["artifact"] = "artifact"
    role: str
    path: str
    prompt: str | None = None
    seed: int | None = None
    label: str | None = None
    comparison: Comparison | None = None


class Failure(Value):
    """An error as a user reads it."""

    title: str
    cause: str = ""
    next_step: str = ""
    exit_code: int = 1

    @classmethod
    def of(cls, error: PixartTuiError | CancelledError) -> Failure:
        """The failure that an error stands for."""
        return cls(
            title=error.title,
            cause=error.cause,
            next_step=error.next_step,
            exit_code=error.exit_code,
        )

    def as_error(self) -> PixartTuiError:
        """The error again, of the kind that its exit code tells."""
        kind = RequestError if self.exit_code == RequestError.exit_code else WorkError
        return kind(self.title, cause=self.cause, next_step=self.next_step)


class AttemptFinished(Value):
    """A worker ends of its own will."""

    type: Literal["attempt_finished"] = "attempt_finished"
    state: Literal["done", "failed", "cancelled"]
    failure: Failure | None = None
