"""Prompts, names and logs that are markup or control terminals: the dashboard shows text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from textual.pilot import Pilot

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import ArtifactWritten, Noticed, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.tui.app.messages import WorkDone, WorkFailed
from pixart_tui.tui.widgets.tab_strip import TABS
from tests.runs.builders import append, give_worker, measured, new_run, planned, started
from tests.tui.pilots import dashboard, until

_TEXT: Final = "[/INST] [red]apple \x1b[31m\x1b]0;x\x07 \x9b1m\r\u202e\udce9"
_ACTED_ON: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]")


def _drawn(pilot: Pilot[None]) -> str:
    """What the terminal is sent, filters applied."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


async def test_no_tab_and_no_note_obeys_text(tmp_path: Path) -> None:
    plan = planned(f"a{_TEXT}", "b")
    conditions = plan.conditions.replace(model=_TEXT, prompts=(_TEXT,))
    run = new_run(
        tmp_path,
        started(),
        plan.replace(conditions=conditions),
        StageChanged(stage=Stage.MEASURING, detail=_TEXT),
        Noticed(text=_TEXT),
        measured(f"a{_TEXT}"),
    )
    append(run, ArtifactWritten(role="profile", path=f"/{_TEXT}.json"))
    run.paths.log.write_bytes(_TEXT.encode("utf-8", "surrogateescape"))
    give_worker(run, alive=False)
    app = dashboard()
    seen = []

    async with app.run_test(notifications=True) as pilot:
        await until(pilot, lambda: run.id in _drawn(pilot))
        for tab, _ in TABS:
            app.show_tab(tab)
            await pilot.pause(0.2)
            seen.append(_drawn(pilot))
        said = _TEXT.replace("\r", "")  # of a line that is overwritten the last state is shown
        app.post_message(WorkDone(f"done {said}"))
        app.post_message(WorkFailed(WorkError(f"failed {said}", cause=said, next_step=said)))
        await until(pilot, lambda: len(app._notifications) == 2)
        notes = [f"{note.title} {note.message}" for note in app._notifications]
        assert not any(note.markup for note in app._notifications)
        seen += notes
        await until(pilot, lambda: {"done", "failed"} <= set(_drawn(pilot).split()))
        toasts = _drawn(pilot)
        assert toasts.count("[red]apple") >= 2
        seen.append(toasts)

    assert all(not _ACTED_ON.findall(text) for text in seen)
    assert any("[/INST] [red]apple" in text for text in seen)
