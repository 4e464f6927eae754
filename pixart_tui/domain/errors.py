"""The errors of the project: one small tree, each with a title, a cause and a next step."""

from __future__ import annotations


class PixartTuiError(Exception):
    """Base of every error that is shown to a user.

    Attributes:
        title: What went wrong, in one short sentence.
        cause: Where and why, as far as it is known.
        next_step: What the user can do now.
        exit_code: The exit code of a command that ends with this error.
    """

    exit_code = 1

    def __init__(self, title: str, cause: str = "", next_step: str = "") -> None:
        super().__init__(title)
        self.title = title
        self.cause = cause
        self.next_step = next_step

    def lines(self) -> list[str]:
        """The error as the lines that a terminal shows, five at most."""
        labelled = (("cause", self.cause), ("next", self.next_step))
        return [f"error: {self.title}", *(f"{label}: {text}" for label, text in labelled if text)]


class RequestError(PixartTuiError):
    """What was asked for cannot be done as asked: a wrong flag, name, file or model."""

    exit_code = 2


class WorkError(PixartTuiError):
    """The request was sound and the work failed."""


class CancelledError(PixartTuiError):
    """The user cancelled the work."""

    exit_code = 130
