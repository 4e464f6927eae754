"""The keys and the marks, on one screen."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

_TEXT: Final = """\
1 2 3 4 5  tab    the tabs by number; tab goes on to the next
arrows pgup pgdn  move or scroll; home and end go to the ends
q  ctrl+c         leave; whatever runs goes on (pixart-tui attach RUN)
ctrl+p            every screen and action by its name, and the themes

Runs      enter   open the run under the cursor
          n       profile pixart-emoji with the usual settings
any run   r       resume one that failed, was cancelled or went stale
          c       cancel one that is queued or running (asks first)
          p       its pictures (not on Select)
Compare   space   unquantized or quantized;  d  the difference
          ←  →    another prompt, layer or row;  a  all three
Select    ←  →    move the parameter; with shift ten steps at once
          t       next rule: top percentage, a share, max loss
          s       save NAME.selected.json beside the profile
          b       save it and benchmark it
          v       measure all selected layers at once, repair, save
          p       the whole curve, or the layers again

◌ queued  ▶ running  ✓ done  ✗ failed  ■ cancelled  ! stale: worker gone
≈ no faster quantized"""


class HelpScreen(ModalScreen[None]):
    """What each key does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close")
    ]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen VerticalScroll {
        width: 78; height: auto; max-height: 100%; padding: 1 1;
        background: $surface; border: round $primary;
    }
    """

    def compose(self) -> ComposeResult:
        """The text."""
        with VerticalScroll() as frame:
            frame.border_title = "Keys"
            frame.border_subtitle = "esc closes"
            yield Static(_TEXT, markup=False)
