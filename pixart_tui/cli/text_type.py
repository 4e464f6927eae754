"""The text type of options: valid characters alone."""

from __future__ import annotations

import os
from typing import Any

import click

from pixart_tui.domain.plain_text import is_text


class TextType(click.types.StringParamType):
    """Text; names of files, which may hold any bytes, are ``click.Path``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, of UTF-8 even where the locale knows less."""
        text = super().convert(value, param, ctx)
        if is_text(text):
            return text
        try:
            return os.fsencode(text).decode("utf-8")
        except UnicodeError:
            self.fail(f'"{text}" is not UTF-8', param, ctx)


def take_text_only(command: click.Command) -> click.Command:
    """Has a command, and those below it, refuse what is no text wherever it takes a string."""
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = TextType()
    for below in getattr(command, "commands", {}).values():
        take_text_only(below)
    return command
