"""The tab where an image is seen beside its reference."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.state.overview import CompareView, Overview, RunView
from pixart_tui.tui.tabs.compare.lines import empty_lines, pair_lines
from pixart_tui.tui.terminal.pictures import ImageMode, Pictures
from pixart_tui.tui.widgets.line_view import LineView
from pixart_tui.tui.widgets.pair_pictures import PairPictures
from pixart_tui.tui.widgets.pane import Pane
from pixart_tui.tui.widgets.scroll_body import ScrollBody

WIDE: Final = 160
"""Columns from which three pictures stand beside each other."""

_TEXT_WIDTH: Final = 34


class ComparePane(Pane):
    """Pairs of pictures, one at a time.

    Args:
        pictures: How pictures are shown here.
        id: The pane's id.
    """

    DEFAULT_CSS = f"""
    ComparePane {{ layout: horizontal; }}
    ComparePane #compare-body {{ width: {_TEXT_WIDTH}; height: 1fr; }}
    ComparePane.-wide {{ layout: vertical; }}
    ComparePane.-wide #compare-body {{ width: 1fr; height: auto; max-height: 14; }}
    ComparePane.-bare PairPictures {{ display: none; }}
    ComparePane.-bare #compare-body {{ width: 1fr; height: 1fr; max-height: 100%; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "flick", "Flick", key_display="space", id="flick"),
        Binding("d", "difference", "Difference", id="show_difference"),
        Binding("a", "all_three", "All three", id="all_three"),
        Binding("left", "step(-1)", "Before", key_display=glyphs.LEFT, id="pair_before"),
        Binding("right", "step(1)", "Next", key_display=glyphs.RIGHT, id="pair_after"),
    ]

    def __init__(self, pictures: Pictures, *, id: str) -> None:
        super().__init__(id=id)
        self._how = pictures
        self._key: tuple[str, str, str, int] | None = None
        self._one = False

    def compose(self) -> ComposeResult:
        """The pictures, and what is said of them."""
        yield PairPictures(self._how)
        yield ScrollBody(id="compare-body")

    @property
    def body(self) -> LineView:
        """Returns the caption of the pictures."""
        return self.query_one(ScrollBody)

    @property
    def pictures(self) -> PairPictures:
        """The pictures."""
        return self.query_one(PairPictures)

    @property
    def run(self) -> RunView | None:
        """The run whose pictures are shown."""
        return self._view.run if self._view else None

    @property
    def _view(self) -> CompareView | None:
        return self.overview.compare if self.overview else None

    @property
    def place(self) -> int:
        """Returns the index of the chosen pair, which may have moved."""
        view = self._view
        keys = [(view.run.id, *pair.key) for pair in view.pairs] if view else []
        return keys.index(self._key) if self._key in keys else 0

    def draw(self, overview: Overview, width: int) -> None:
        """Draws the pair that is open."""
        view = overview.compare
        bare = view is None or not view.pairs or self._draws_none
        self.set_class(width >= WIDE, "-wide")
        self.set_class(bare, "-bare")
        if view is None or not view.pairs:
            self.pictures.show(None)
            self.body.show(empty_lines(view, width))
            return
        pair = view.pairs[self.place]
        self.pictures.show((pair.image, pair.reference))
        if self.pictures.all_three != self._shows_all:
            self.pictures.show_all(self._shows_all)
        self._draw_text(view, width)

    @property
    def _draws_none(self) -> bool:
        return self._how.mode is ImageMode.NONE

    @property
    def _shows_all(self) -> bool:
        return self.size.width >= WIDE and not self._one

    def _draw_text(self, view: CompareView, width: int) -> None:
        pictures = self.pictures
        wide = width >= WIDE
        shown = None if pictures.all_three else pictures.face
        room = width if wide or self._draws_none else _TEXT_WIDTH
        lines = pair_lines(
            view,
            self.place,
            shown=shown,
            loaded=pictures.loaded,
            pictures=self._how,
            width=room - 1,
        )
        self.body.show(lines)
        self.body.styles.height = len(lines) if wide and not self._draws_none else "1fr"

    def on_pair_pictures_loaded(self) -> None:
        """Says by how much the difference is amplified."""
        self.redraw()

    def action_flick(self) -> None:
        """Changes between unquantized and quantized, large."""
        self._one = True
        self.pictures.flick()
        self.redraw()

    def action_difference(self) -> None:
        """Shows what differs, or goes back."""
        self._one = True
        face = self.pictures.face
        self.pictures.show_face("unquantized" if face == "difference" else "difference")
        self.redraw()

    def action_all_three(self) -> None:
        """Shows all three side by side where there is room, or one."""
        self._one = not self._one
        self.redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers pictures where they are drawn, and all three where they have room."""
        if action in ("flick", "difference", "all_three") and self._draws_none:
            return False
        if action == "all_three":
            return self.size.width >= WIDE
        return super().check_action(action, parameters)

    def action_step(self, steps: int) -> None:
        """Shows another pair."""
        view = self._view
        if view is None or not view.pairs:
            return
        pair = view.pairs[(self.place + steps) % len(view.pairs)]
        self._key = (view.run.id, *pair.key)
        self.redraw()
