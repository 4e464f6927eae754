"""``pixart-tui report``."""

from __future__ import annotations

from pathlib import Path

import click

from pixart_tui.cli.display.paths import relative
from pixart_tui.cli.display.writing import say, say_document
from pixart_tui.cli.options.common import check_output
from pixart_tui.domain.files import onediff_file
from pixart_tui.reporting.html import render_html
from pixart_tui.reporting.markdown import render_markdown
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.results.reporting import report_of_file, report_of_run

_KINDS = ("profile", "bench", "verify")


@click.command(
    epilog="""\b
Examples:
  pixart-tui report last
  pixart-tui report last --output report.html
  pixart-tui report profiles/pixart-emoji/fp8_e4m3.json --format markdown >> issue.md"""
)
@click.argument("run", type=click.Path(), metavar="RUN")
@click.option(
    "--format",
    "report_format",
    type=click.Choice(("html", "markdown")),
    help="By default what --output ends with, else html.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="By default pixart-tui-RUN.html here; Markdown goes to stdout.",
)
def report(run: str, report_format: str | None, output: Path | None) -> int:
    """Write one file to share of RUN (a run, or a profile's JSON).

    The HTML holds everything: images, charts and style; nothing is fetched when it is opened.
    """
    markdown = report_format == "markdown" or (
        report_format is None and output is not None and output.suffix == ".md"
    )
    path = Path(run)
    from_file = path.suffix == ".json" or path.is_file()
    name = path.name.removesuffix(".json")
    if from_file:
        found = report_of_file(path)
    else:
        opened = find_run(run, kinds=_KINDS)
        found, name = report_of_run(opened), opened.id
    if markdown and output is None:
        say_document(render_markdown(found))
        return 0
    read = onediff_file.with_companions([path]) if from_file else ()
    target = check_output(output or Path(f"pixart-tui-{name}.html"), read=read)
    write_atomically(target, render_markdown(found) if markdown else render_html(found))
    say(f"wrote {relative(str(target))}", err=True)
    return 0
