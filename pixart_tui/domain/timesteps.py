"""Timesteps in place of a number of steps, as distilled models are sampled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator

from pixart_tui.domain.errors import RequestError

_EXAMPLE: Final = "for example: 999,749,499"


def check_timesteps(timesteps: tuple[int, ...]) -> tuple[int, ...]:
    """The same timesteps.

    Raises:
        RequestError: They do not descend, or one is negative.
    """
    if any(later >= earlier for earlier, later in pairwise(timesteps)):
        raise _unusable("the timesteps do not descend", timesteps)
    if timesteps and timesteps[-1] < 0:
        raise _unusable("a timestep is negative", timesteps)
    return timesteps


Timesteps: TypeAlias = Annotated[tuple[int, ...], AfterValidator(check_timesteps)]
"""Descending and not negative; empty where a number of steps says it."""


def parse_timesteps(text: str) -> tuple[int, ...]:
    """The timesteps in ``999,749,499``.

    Raises:
        RequestError: They are not whole numbers, or do not descend.
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise RequestError(
            f'"{text[:80]}" are no timesteps',
            cause="they are whole numbers with commas",
            next_step=_EXAMPLE,
        ) from error
    return check_timesteps(numbers)


def check_agreement(num_inference_steps: int | None, timesteps: Sequence[int]) -> None:
    """Refuses a number of steps that is not that of the timesteps.

    Raises:
        RequestError: They say different things.
    """
    if timesteps and num_inference_steps not in (None, len(timesteps)):
        raise RequestError(
            f"{num_inference_steps} steps and {len(timesteps)} timesteps disagree",
            cause="each timestep is a step",
            next_step="leave out --steps or --timesteps",
        )


def _unusable(title: str, timesteps: Sequence[int]) -> RequestError:
    return RequestError(title, cause=",".join(map(str, timesteps))[:200], next_step=_EXAMPLE)
