"""Commands that are imported when they are asked for: the dashboard needs hardly any of them."""

from __future__ import annotations

from importlib import import_module

import click

from pixart_tui.cli.text_type import restrict_values


class LazyGroup(click.Group):
    """A group whose commands stand in modules that it names; set ``modules`` before use.

    Attributes:
        modules: Command to the module of this package where it stands under its own name.
    """

    modules: dict[str, str] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name."""
        return sorted(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self.modules:
            return None
        module = import_module(f"pixart_tui.cli.commands.{self.modules[cmd_name]}")
        found = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(found, click.Command)
        return restrict_values(found)
