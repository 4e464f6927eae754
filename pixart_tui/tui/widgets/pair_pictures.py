"""An image and its reference: one of them large, to flick between, or all side by side."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, Literal, TypeAlias

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message

from pixart_tui.tui.state.pair_loading import LoadedPair, load_pair
from pixart_tui.tui.terminal.pictures import ImageMode, Pictures
from pixart_tui.tui.widgets.picture_view import PictureView

Face: TypeAlias = Literal["unquantized", "quantized", "difference"]

FACES: Final[tuple[Face, ...]] = ("unquantized", "quantized", "difference")


class PairPictures(Horizontal):
    """Shows the pictures of a pair; the widget that mounts it says where the files are.

    Args:
        pictures: How pictures are shown here.
        id: The widget's id.

    Attributes:
        face: Which of the three is shown, where only one is.
        all_three: Whether all are shown side by side.
        loaded: What was read of the files, None while that goes on.
    """

    DEFAULT_CSS = """
    PairPictures { height: 1fr; }
    PairPictures PictureView { width: 1fr; }
    PairPictures.-all PictureView { margin-right: 1; }
    PairPictures .-hidden { display: none; }
    """

    class Loaded(Message):
        """The files were read."""

    def __init__(self, pictures: Pictures, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pictures = pictures
        self._files: tuple[Path, Path] | None = None
        self.face: Face = "unquantized"
        self.all_three = False
        self.loaded: LoadedPair | None = None

    def compose(self) -> ComposeResult:
        """A view for each of the three; the first is the large one."""
        for face in FACES:
            yield PictureView(self._pictures.mode, id=f"picture-{face}")

    def on_mount(self) -> None:
        """Shows one."""
        self._draw()

    def show(self, files: tuple[Path, Path] | None) -> None:
        """Shows a pair.

        Args:
            files: The image with something quantized, and its reference; None clears.
        """
        if files == self._files:
            return
        self._files = files
        if files is None or self._pictures.mode is ImageMode.NONE:
            self.loaded = None
            self._draw()
        else:
            self._load()

    @work(exclusive=True, group="pair")
    async def _load(self) -> None:
        files = self._files
        if files is None:
            return
        found = await asyncio.to_thread(load_pair, *files)
        if self._files == files:
            self.loaded = found
            self._draw()
            self.post_message(self.Loaded())

    def show_face(self, face: Face) -> None:
        """Shows one of the three, large."""
        self.face, self.all_three = face, False
        self._draw()

    def flick(self) -> None:
        """Changes between unquantized and quantized."""
        self.show_face("quantized" if self.face == "unquantized" else "unquantized")

    def show_all(self, wanted: bool) -> None:
        """Shows all three side by side, or one."""
        self.all_three = wanted
        self._draw()

    def _draw(self) -> None:
        found = self.loaded or LoadedPair()
        images = dict(zip(FACES, (found.reference, found.image, found.difference), strict=True))
        self.set_class(self.all_three, "-all")
        for number, face in enumerate(FACES):
            view = self.query_one(f"#picture-{face}", PictureView)
            view.set_class(number > 0 and not self.all_three, "-hidden")
            if self.all_three or number == 0:
                view.show(images[face if self.all_three else self.face])
