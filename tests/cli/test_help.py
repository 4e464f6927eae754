from __future__ import annotations

import pytest

from pixart_tui.cli.main import cli, main


@pytest.mark.parametrize("command", [*cli.modules, None])
def test_every_command_has_help_with_examples(
    command: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*([command] if command else []), "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example" in out
    assert f"pixart-tui {command or ''}".strip() in out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pixart-tui, version 0.1")
