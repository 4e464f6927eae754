"""The form: fields, what the command line says to them, and that command line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.events import DescendantFocus
from textual.message import Message
from textual.screen import Screen
from textual.suggester import SuggestFromList
from textual.timer import Timer
from textual.widgets import Footer, Input, Static

from pixart_tui.domain.errors import WorkError
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.paths import runs_root
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.lines import Line, Span, fit, line, spread, wrap_path
from pixart_tui.tui.tabs.new_run.checking import Ask, Verdict, check, command_lines, verdict_lines
from pixart_tui.tui.tabs.new_run.fields import FIELDS, FormField, FormKind, words_of
from pixart_tui.tui.widgets.line_view import LineBlock

Draft = dict[FormKind, dict[str, str]]
"""Texts typed into the forms, by option."""

_PAUSE_S: Final = 0.25
_LABEL: Final = 16
_FIELDS_LEAST: Final = 4


class FieldRow(Horizontal):
    """A field's label and what is typed into it."""

    def __init__(self, field: FormField, text: str) -> None:
        super().__init__()
        self.field = field
        self._label = Static(f"   {field.label}", markup=False, classes="label")
        suggester = SuggestFromList(field.choices) if field.choices else None
        self.input = Input(text, placeholder=field.default, suggester=suggester, compact=True)
        self.input.cursor_blink = False

    def compose(self) -> ComposeResult:
        """The label and the input."""
        yield self._label
        yield self.input

    def blame(self, blamed: bool) -> None:
        """Marks the field that is wrong."""
        self.set_class(blamed, "-wrong")
        self._label.update(f" {glyphs.FAILED if blamed else ' '} {self.field.label}")


class NewRunScreen(Screen[tuple[str, ...] | None]):
    """Asks for a new run; returns its command line.

    Args:
        kind: The command whose fields are shown.
        draft: What was typed before; it is kept up to date.
        ask: What a command line asks for.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,ctrl+s", "start", "Start", priority=True),
        Binding("ctrl+t", "other_kind", "Profile or bench", priority=True),
        Binding("ctrl+y", "copy", "Copy command", priority=True),
        Binding("escape", "leave", "Back"),
        # With priority: over a slow line a key and what is typed after it come in one packet.
        Binding("down,tab", "app.focus_next", "Next field", show=False, priority=True),
        Binding("up,shift+tab", "app.focus_previous", "Before", show=False, priority=True),
    ]
    DEFAULT_CSS = f"""
    NewRunScreen {{
        & #form-fields {{ height: auto; scrollbar-size-vertical: 1; }}
        & FieldRow {{ height: 1; }}
        & FieldRow .label {{ width: {_LABEL}; color: $foreground 70%; }}
        & FieldRow Input {{ width: 1fr; background: $surface; }}
        & FieldRow:focus-within .label {{ color: $primary; text-style: bold; }}
        & FieldRow.-wrong .label {{ color: $error; }}
    }}
    """

    class Checked(Message):
        """The command line was checked.

        Attributes:
            verdict: What came of it.
        """

        def __init__(self, verdict: Verdict) -> None:
            super().__init__()
            self.verdict = verdict

    def __init__(self, kind: FormKind, draft: Draft, ask: Ask) -> None:
        super().__init__()
        self.kind: FormKind = kind
        self._draft = draft
        self._ask = ask
        self._verdict: Verdict | None = None
        self._pause: Timer | None = None
        self._note = ""

    def compose(self) -> ComposeResult:
        """The fields of the kind, and below them what there is to say."""
        yield LineBlock(id="form-title")
        with VerticalScroll(id="form-fields", can_focus=False):
            yield from self._rows()
        yield LineBlock(id="form-about")
        yield LineBlock(id="form-verdict")
        yield LineBlock(id="form-command")
        yield Footer(compact=True, show_command_palette=False)

    def _rows(self) -> Iterator[FieldRow]:
        typed = self._draft.setdefault(self.kind, {})
        return (FieldRow(field, typed.get(field.option, "")) for field in FIELDS[self.kind])

    def on_mount(self) -> None:
        """Begins with the first field."""
        self.query(FieldRow).first().input.focus()
        self._check_now()

    def on_resize(self) -> None:
        """Lays out anew."""
        self._draw()

    @property
    def words(self) -> list[str]:
        """The command line without the program's name."""
        return words_of(self.kind, self._draft[self.kind])

    def on_input_changed(self, message: Input.Changed) -> None:
        """Checks what was typed, once the typing pauses."""
        for row in self.query(FieldRow):
            self._draft[self.kind][row.field.option] = row.input.value
        self._note = ""
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE_S, self._check_now)
        self._draw()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Says what may be typed here."""
        self._draw()

    def _check_now(self) -> None:
        self.run_worker(self._check(), group="check", exclusive=True)

    async def _check(self) -> Verdict:
        verdict = await asyncio.to_thread(check, self._ask, self.kind, self.words)
        self.post_message(self.Checked(verdict))
        return verdict

    def on_new_run_screen_checked(self, message: Checked) -> None:
        """Shows what came of it."""
        self._verdict = message.verdict
        for row in self.query(FieldRow):
            row.blame(row.field == message.verdict.field)
        self._draw()

    def _draw(self) -> None:
        width = self.size.width
        if not width or not self.is_mounted:
            return
        title = (Span(f" New {self.kind} run", "title"),)
        marked = Span("empty fields take what is shown in them ", "muted")
        rule = line(Span(glyphs.RULE * width, "track"))
        about = line(Span(fit(f"   {self._about()}", width), "live"))
        command = command_lines(Verdict(tuple(self.words)).command, width)
        blocks = {
            "title": [spread(title, [marked], width), line()],
            "about": [line(), about, rule],
            "verdict": [*self._told(width), rule],
            "command": [*command, *self._note_lines(width)],
        }
        # What has no room scrolls, so that the command line is never out of sight.
        left = self.size.height - sum(map(len, blocks.values())) - 1
        self.query_one("#form-fields").styles.max_height = max(left, _FIELDS_LEAST)
        for name, lines in blocks.items():
            self.query_one(f"#form-{name}", LineBlock).show(lines)

    def _told(self, width: int) -> list[Line]:
        """Shows the checked command line, on as many lines as it usually needs."""
        current = self._verdict is not None and list(self._verdict.words) == self.words
        verdict = self._verdict if current else None
        told = verdict_lines(verdict, width) if verdict else [line(Span("   checking", "muted"))]
        return [*told, *[line()] * (3 - len(told))]

    def _about(self) -> str:
        focused = (row for row in self.query(FieldRow) if row.input is self.focused)
        return next((row.field.about for row in focused), "")

    def _note_lines(self, width: int) -> list[tuple[Span, ...]]:
        return [line(Span(text, "good")) for text in wrap_path(self._note, width) if self._note]

    async def action_other_kind(self) -> None:
        """Changes to the other command's fields; what was typed is kept."""
        self.kind = "bench" if self.kind == "profile" else "profile"
        fields = self.query_one("#form-fields")
        await fields.remove_children()
        await fields.mount_all(self._rows())
        self.query(FieldRow).first().input.focus()
        self._check_now()

    def action_leave(self) -> None:
        """Goes without starting anything."""
        self.dismiss(None)

    def action_start(self) -> None:
        """Starts the run if the command line is sound, else goes to the field that is not."""
        self.run_worker(self._start(), group="start", exclusive=True)

    async def _start(self) -> None:
        verdict = await self._check()
        if verdict.error is None:
            self.dismiss(verdict.words)
            return
        for row in self.query(FieldRow):
            if row.field == verdict.field:
                row.input.focus()

    def action_copy(self) -> None:
        """Copies the command line, and writes it where it can be read in any case."""
        self.run_worker(self._copy(Verdict(tuple(self.words)).command), group="copy")

    async def _copy(self, command: str) -> None:
        self.app.copy_to_clipboard(command)
        path = runs_root() / "command.txt"
        try:
            await asyncio.to_thread(partial(write_atomically, path, command + "\n"))
        except WorkError as error:
            self._note = f"sent to the terminal, which may drop it; {error.title}: {error.cause}"
        else:
            self._note = f"sent to the terminal, which may drop it; it stands in {path}"
        self._draw()
