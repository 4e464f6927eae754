"""The errors of the project: one small tree, each with a title, a cause and a next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class _Explained:
    """The base of every error that is shown to a user.

    Attributes:
        title: What went wrong, in one short sentence.
        cause: Where and why, as far as it is known.
        next_step: What the user can do now.
        exit_code: The exit code of a command that ends with this error.
    """

    exit_code = 1

    def __init__(self, title: str, *, cause: str = "", next_step: str = "") -> None:
        self.title = title
        self.cause = cause
        self.next_step = next_step

    def lines(self) -> list[str]:
        """The error as the lines that a terminal shows, five at most."""
        labeled = (("cause", self.cause), ("next", self.next_step))
        return [f"error: {self.title}", *(f"{label}: {text}" for label, text in labeled if text)]


class PixartTuiError(_Explained, Exception):
    """Base of the errors: something is wrong."""

    def __init__(self, title: str, *, cause: str = "", next_step: str = "") -> None:
        Exception.__init__(self, title)
        _Explained.__init__(self, title, cause=cause, next_step=next_step)


class RequestError(PixartTuiError):
    """The request cannot be done as it was made: a wrong flag, name, file or model.

    Attributes:
        option: The option of the command line that is to blame, empty if none alone is.
    """

    exit_code = 2

    def __init__(
        self, title: str, *, cause: str = "", next_step: str = "", option: str = ""
    ) -> None:
        super().__init__(title, cause=cause, next_step=next_step)
        self.option = option


@contextmanager
def blaming(option: str) -> Iterator[None]:
    """Says which option is to blame for a wrong request, unless that is said already."""
    try:
        yield
    except RequestError as error:
        error.option = error.option or option
        raise


class WorkError(PixartTuiError):
    """The request was sound and the work failed."""


class CancelledError(_Explained, BaseException):
    """The user cancelled the work.

    Nothing is wrong, so it is no ``Exception``: libraries that catch those, to try something else
    or to explain them, must not swallow it.
    """

    exit_code = 130

    def __init__(self, title: str, *, cause: str = "", next_step: str = "") -> None:
        BaseException.__init__(self, title)
        _Explained.__init__(self, title, cause=cause, next_step=next_step)


def first_line(error: BaseException, limit: int = 200) -> str:
    """Returns the first line of an exception's message, cut off; its type if it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:limit]
