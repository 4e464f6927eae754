"""The parts of the campaign: each a list of cases, and what is done in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.chaos.kinds import Reference
from benchmarks.chaos.trying import Try

References = Mapping[str, Reference]


@dataclass(frozen=True, slots=True)
class Case:
    """Something to try.

    Attributes:
        what: In words; the same in each campaign.
        action: Does it.
    """

    what: str
    action: Callable[[Try], None]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the campaign.

    Attributes:
        name: Its name on the command line.
        title: In words.
        kinds: The kinds of run that it needs an reference one of.
        cases: Everything to try, the same in each campaign.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    cases: Callable[[References], list[Case]]
