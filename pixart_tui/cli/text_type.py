"""Types of options: text of valid characters, finite numbers, whole numbers of 64 bits."""

from __future__ import annotations

import math
import os
from typing import Any, Final

import click

from pixart_tui.domain.plain_text import is_text

_LARGEST: Final = 2**63 - 1


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


class FiniteFloat(click.types.FloatParamType):
    """A number that is neither NaN nor infinite."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number."""
        return _finite(self, super().convert(value, param, ctx), param, ctx)


class FiniteRange(click.FloatRange):
    """A number within limits, which NaN never is outside of."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number."""
        return _finite(self, super().convert(value, param, ctx), param, ctx)


def _finite(
    kind: click.ParamType[Any],
    number: Any,
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> float:
    if not math.isfinite(number):
        kind.fail(f"{number} is no finite number", param, ctx)
    return float(number)


def restrict_values(command: click.Command) -> click.Command:
    """Has a command, and those below it, refuse bytes as text, NaN, and huge whole numbers."""
    for parameter in command.params:
        parameter.type = _restricted(parameter.type)
    for below in getattr(command, "commands", {}).values():
        restrict_values(below)
    return command


def _restricted(kind: click.ParamType[Any]) -> click.ParamType[Any]:
    if kind is click.STRING:
        return TextType()
    if kind is click.FLOAT:
        return FiniteFloat()
    if type(kind) is click.FloatRange:
        return FiniteRange(kind.min, kind.max, kind.min_open, kind.max_open, kind.clamp)
    if type(kind) is click.IntRange and kind.max is None:
        return _NoMaximum(kind.min, _LARGEST, kind.min_open)
    return kind


class _NoMaximum(click.IntRange):
    """A whole number that 64 bits hold; help names no maximum."""

    def _describe_range(self) -> str:
        return f"x{'>' if self.min_open else '>='}{self.min}"
