"""Text of users, files and libraries is nowhere markup: a new place that could read it fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import pixart_tui

_PACKAGE: Final = Path(pixart_tui.__file__).parent
_WRITING: Final = _PACKAGE / "cli" / "display" / "writing.py"
_READ_MARKUP: Final = {
    *("Button", "Checkbox", "Collapsible", "Label", "Link", "Option", "RadioButton", "Static"),
    *("Spinner", "SpinnerColumn", "TextColumn", "from_markup", "notify", "render_markup"),
}
"""What takes strings as markup unless it is told not to."""
_ALWAYS_MARKUP: Final = {"DataTable", "Markdown", "Panel", "Pretty", "Prompt", "Select", "Tooltip"}
_MARKUP_FIELDS: Final = {"border_title", "border_subtitle", "tooltip"}
_WRITES: Final = {
    *("click.echo", "click.secho", "click.confirm", "click.prompt", "Console", "print"),
    *("sys.stdout.write", "sys.stderr.write"),
}


def _places(tree: ast.AST, path: Path) -> Iterator[str]:
    """What might read text as markup, or write it past the one way out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (f"{path}:{node.lineno}: {why}" for why in _faults_of_call(node, path))
        if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr in _MARKUP_FIELDS:
                    yield f"{path}:{node.lineno}: {ast.unparse(target)} is no constant"


def _faults_of_call(call: ast.Call, path: Path) -> Iterator[str]:
    name = ast.unparse(call.func)
    short = name.rpartition(".")[2]
    if short in _ALWAYS_MARKUP or (short in _READ_MARKUP and not _is_plain(call)):
        yield f"{name} reads markup"
    if "cli" in path.parts and path != _WRITING.relative_to(_PACKAGE) and name in _WRITES:
        yield f"{name} outside cli/display/writing.py"


def _is_plain(call: ast.Call) -> bool:
    """Whether it is told that nothing is markup, or shows constants only."""
    told = any(
        keyword.arg == "markup"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is False
        for keyword in call.keywords
    )
    return told or all(isinstance(argument, ast.Constant) for argument in call.args)


def test_nothing_in_the_package_reads_text_as_markup() -> None:
    found = [
        place
        for file in sorted(_PACKAGE.rglob("*.py"))
        for place in _places(ast.parse(file.read_text("utf-8")), file.relative_to(_PACKAGE))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "Static(prompt)",
        "self.notify(f'{path}')",
        "TextColumn(text, markup=True)",
        "pane.border_title = run.model",
        "Panel('x')",
        "click.echo(run.id)",
        "Console().print(prompt)",
        "print(prompt)",
    ],
)
def test_a_new_place_is_found(line: str) -> None:
    assert list(_places(ast.parse(line), Path("cli/new.py")))
