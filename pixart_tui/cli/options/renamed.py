"""Options and their values that had other names: those work still, and no page names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.parser import _OptionParser


class RenamedOption(click.Option):
    """An option that is read by earlier names too.

    Args:
        declarations: As ``click.Option`` takes them.
        old_names: The earlier names.
        attributes: As ``click.Option`` takes them.
    """

    def __init__(
        self, declarations: Sequence[str], *, old_names: Sequence[str], **attributes: Any
    ) -> None:
        super().__init__(declarations, **attributes)
        self._old_names = old_names

    def add_to_parser(self, parser: _OptionParser, ctx: click.Context) -> None:
        """Tells the parser every name; help and errors know the present one alone."""
        present, self.opts = self.opts, [*self.opts, *self._old_names]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = present


class RenamedChoice(click.Choice[str]):
    """A choice among names that is read by earlier names too.

    Args:
        names: The names.
        old: Earlier name to the present one.
    """

    def __init__(self, names: Sequence[str], old: Mapping[str, str]) -> None:
        super().__init__(names)
        self._old = old

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The present name."""
        return super().convert(self._old.get(value, value), param, ctx)
