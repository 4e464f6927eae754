"""Which tries there are, and doing them side by side."""

from __future__ import annotations

import gc
import os
import random
import sys
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

from benchmarks.chaos.findings import Finding, Verdict, append
from benchmarks.chaos.kinds import COMMANDS, FEEDS, Reference, reference
from benchmarks.chaos.parts import Case, Part
from benchmarks.chaos.parts.catalogue import PARTS
from benchmarks.chaos.trying import Try, attempt, enter

SHORT: Final = {
    **{"workers": 2, "disks": 2, "journals": 12, "clocks": 2, "users": 2},
    **{"archives": 12, "displays": 1, "fuzz": 8},
}
"""Tries of each part in the short form, all of one kind of run."""

Number = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Campaign:
    """Everything that is to be tried.

    Attributes:
        place: Where all its files lie.
        seed: Of the whole campaign.
        parts: The parts, in order.
        references: Kind to the reference run.
        cases: Part to everything that can be tried in it.
        wanted: Part and number of what is to be tried.
    """

    place: Path
    seed: int
    parts: tuple[Part, ...]
    references: dict[str, Reference]
    cases: dict[str, list[Case]]
    wanted: list[Number]

    @property
    def log(self) -> Path:
        """The verdicts, a line each."""
        return self.place / "tries.jsonl"

    @classmethod
    def prepare(
        cls,
        place: Path,
        seed: int,
        *,
        parts: Collection[str] | None = None,
        scale: float | Mapping[str, int] = 1.0,
    ) -> Campaign:
        """Makes the reference runs, and lists what is to be tried.

        Args:
            place: Where all its files lie.
            seed: Of the whole campaign.
            parts: Their names; None for all.
            scale: The share of all tries, or how many of each part.
        """
        unknown = set(parts or ()) - {part.name for part in PARTS}
        if unknown:
            sys.exit(f"there is no part {', '.join(unknown)}: {', '.join(p.name for p in PARTS)}")
        chosen = tuple(part for part in PARTS if parts is None or part.name in parts)
        _load_libraries()
        kinds = {"adjoint"} if isinstance(scale, Mapping) else set(COMMANDS)
        references = _references(chosen, place, kinds)
        cases = {part.name: part.cases(references) for part in chosen}
        wanted = [
            (name, number)
            for name, found in cases.items()
            for number in _sample(f"{seed}/{name}", len(found), _share(scale, name, len(found)))
        ]
        return cls(place, seed, chosen, references, cases, wanted)

    def work(
        self, wanted: Sequence[Number], jobs: int, minutes: float | None, *, keep: bool
    ) -> int:
        """Does tries, several side by side, each in a process; returns how many."""
        deadline_s = time.monotonic() + 60 * minutes if minutes else float("inf")
        under_way: dict[int, Number] = {}
        begun = 0
        while under_way or (begun < len(wanted) and time.monotonic() < deadline_s):
            may_begin = begun < len(wanted) and time.monotonic() < deadline_s
            if may_begin and len(under_way) < jobs:
                under_way[self._begin(*wanted[begun], keep=keep)] = wanted[begun]
                begun += 1
                continue
            pid, status = os.wait()
            if pid in under_way:
                self._note_death(*under_way.pop(pid), status)
        return begun

    def _begin(self, part: str, number: int, *, keep: bool) -> int:
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            return pid
        try:
            self._try(part, number, keep=keep)
            os._exit(0)
        except BaseException:  # this is a copy of the campaign, which must not go on here
            traceback.print_exc()
        os._exit(1)

    def _try(self, part: str, number: int, *, keep: bool) -> None:
        case = self.cases[part][number]
        one = Try(
            part=part,
            number=number,
            what=case.what,
            place=self.place / "tries" / f"{part}-{number}",
            references=self.references,
            random=random.Random(f"{self.seed}/{part}/{number}"),
        )
        verdict = attempt(case.action, one, keep=keep)
        append(self.log, verdict)
        for finding in verdict.findings:
            print(f"{part} {number}, {verdict.what}: {finding.fault}: {finding.text}", flush=True)

    def _note_death(self, part: str, number: int, status: int) -> None:
        if status:
            died = Finding(fault="wrong", text=f"the try itself died: {status}")
            append(self.log, Verdict(part=part, number=number, what="", findings=(died,)))


def _share(scale: float | Mapping[str, int], name: str, every: int) -> int:
    return min(scale[name], every) if isinstance(scale, Mapping) else ceil(scale * every)


def _sample(seed: str, every: int, wanted: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(every), wanted))


def _references(parts: Sequence[Part], place: Path, kinds: Collection[str]) -> dict[str, Reference]:
    """The reference run of each kind that is needed, and those whose profile these need."""
    needed = {kind for part in parts for kind in part.kinds if kind in kinds}
    fed = {FEEDS[word] for kind in needed for word in COMMANDS[kind] if word in FEEDS}
    made: dict[str, Reference] = {}
    folder = place / "references"
    for kind in COMMANDS:
        if kind in needed | fed:
            enter(folder / kind)
            made[kind], differing = reference(kind, folder)
            for text in differing:
                print(f"two reference runs of {kind} differ: {text}", file=sys.stderr)
    return made


def _load_libraries() -> None:
    """Imports what workers import, once for all that are forked."""
    import torchao.quantization  # noqa: F401
    from PIL import Image

    import pixart_tui.tui.app.app
    import pixart_tui.worker.jobs.bench
    import pixart_tui.worker.jobs.compare
    import pixart_tui.worker.jobs.export
    import pixart_tui.worker.jobs.generate
    import pixart_tui.worker.jobs.profile
    import pixart_tui.worker.jobs.verify  # noqa: F401

    Image.init()
    gc.freeze()  # or each fork would look through all that is imported
