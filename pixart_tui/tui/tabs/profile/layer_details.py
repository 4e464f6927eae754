"""One layer in detail: its figures, and its pictures beside or in place of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.runs.results.pairs import Pair
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span, fit, line, printable, wrap_path
from pixart_tui.tui.tabs.profile.details import detail_lines
from pixart_tui.tui.tabs.profile.facts import Facts
from pixart_tui.tui.terminal.pictures import ImageMode, Pictures
from pixart_tui.tui.widgets.line_view import LineBlock
from pixart_tui.tui.widgets.pair_pictures import FACES, PairPictures
from pixart_tui.tui.widgets.scroll_body import ScrollBody

BESIDE: Final = 110
"""Columns from which figures and pictures stand side by side."""

_FIGURES: Final = 68
"""Columns of the figures where pictures are beside them."""
_ALL_THREE: Final = 90
"""Columns of pictures from which all three have room."""


class LayerDetails(Horizontal):
    """Figures to the left, pictures to the right; in a narrow terminal one or the other.

    Args:
        pictures: How pictures are shown here.
        id: The widget's id.
    """

    DEFAULT_CSS = """
    LayerDetails .-hidden { display: none; }
    LayerDetails Vertical { width: 1fr; }
    """

    def __init__(self, pictures: Pictures, *, id: str) -> None:
        super().__init__(id=id)
        self._how = pictures
        self._pair: Pair | None = None
        self._figures_only = True

    def compose(self) -> ComposeResult:
        """The figures and the pictures."""
        yield ScrollBody(id="profile-figures")
        with Vertical(id="profile-pictures"):
            yield LineBlock(id="profile-caption")
            yield PairPictures(self._how)

    @property
    def figures(self) -> ScrollBody:
        """The part with text."""
        return self.query_one("#profile-figures", ScrollBody)

    @property
    def pictures(self) -> PairPictures:
        """The part with pictures."""
        return self.query_one(PairPictures)

    def show(self, score: LayerScore, facts: Facts, width: int) -> None:
        """Shows a layer; of its pictures those of the prompt that it harms most."""
        found = [pair for pair in facts.view.pairs if pair.label == score.layer.fqn]
        self._pair = found[0] if found else None
        drawn = self._pair is not None and self._how.mode is not ImageMode.NONE
        beside = drawn and width >= BESIDE
        only = drawn and not beside and not self._figures_only
        room = _FIGURES if beside else width
        self.query_one("#profile-pictures").set_class(not (beside or only), "-hidden")
        # It keeps the focus, and with it the keys: a widget that is not displayed loses them.
        self.figures.styles.width = 1 if only else room
        lines = detail_lines(score, facts, room - 1)
        self.figures.show([*lines, *self._file_lines(len(found), room - 1)])
        self._draw_pictures(width - room if beside else width - 1)

    def _draw_pictures(self, room: int) -> None:
        pair, pictures = self._pair, self.pictures
        pictures.show((pair.image, pair.reference) if pair is not None else None)
        if pictures.all_three != (room >= _ALL_THREE):
            pictures.show_all(room >= _ALL_THREE)
        caption = list(self._caption(pair, room)) if pair is not None else []
        self.query_one("#profile-caption", LineBlock).show(caption)

    def _caption(self, pair: Pair, room: int) -> Iterator[Line]:
        pictures = self.pictures
        shown = " | ".join(FACES) if pictures.all_three else f"{pictures.face}  (space: next)"
        loaded = pictures.loaded
        times = f"   difference x{loaded.factor}" if loaded and loaded.factor > 1 else ""
        texts: list[tuple[str, CellStyle]] = [(f"{shown}{times}", "title")]
        texts += [(f"{printable(pair.prompt)}  seed {pair.seed}", "text"), (pair.figures, "muted")]
        if loaded and loaded.problem:
            texts.append((loaded.problem, "warn"))
        for text, cell_style in texts:
            yield line(Span(fit(f" {text}", room - 1), cell_style))

    def _file_lines(self, count: int, width: int) -> Iterator[Line]:
        """Where the pictures lie, and what is in the way of seeing them."""
        pair = self._pair
        yield line()
        yield line(Span(fit(" pictures", width), "head"))
        if pair is None:
            yield line(Span(" none kept of this layer: i makes some", "muted"))
            return
        told = self._how.reason or "space shows them; of the prompt that it harms most"
        yield line(Span(fit(f" {count} kept   {told}", width), "muted"))
        for path in (pair.image, pair.reference):
            yield from (line(" ", Span(chunk)) for chunk in wrap_path(str(path), width - 1))

    def turn(self) -> None:
        """The next picture: in a narrow terminal from the figures through all three and back."""
        if self._pair is None or self.pictures.all_three:
            return
        place = FACES.index(self.pictures.face)
        if self.size.width >= BESIDE:
            self.pictures.show_face(FACES[(place + 1) % len(FACES)])
        elif self._figures_only:
            self._figures_only = False
            self.pictures.show_face(FACES[0])
        elif place + 1 < len(FACES):
            self.pictures.show_face(FACES[place + 1])
        else:
            self._figures_only = True
