from __future__ import annotations

from pathlib import Path

import click

from pixart_tui.cli.main import cli
from pixart_tui.cli.reference import PAGE, main, reference

_ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_commands_say() -> None:
    """Where this fails: make tables."""
    assert (_ROOT / PAGE).read_text(encoding="utf-8") == reference()


def test_every_command_and_option_is_in_it() -> None:
    text, context = reference(), click.Context(cli)
    names = cli.list_commands(context)
    assert {"profile", "select", "bench", "generate", "export", "runs"} <= set(names)
    for name in names:
        command = cli.get_command(context, name)
        assert command is not None
        assert f"## pixart-tui {name}\n" in text
        for parameter in command.params:
            assert all(spelling in text for spelling in parameter.opts if spelling.startswith("--"))


def test_it_does_not_depend_on_the_terminal(tmp_path: Path) -> None:
    main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == reference()
