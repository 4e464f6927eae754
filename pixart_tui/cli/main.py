"""The command line: commands, and how every error becomes an exit code and a few lines."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import click

from pixart_tui import __version__
from pixart_tui.cli.lazy_group import LazyGroup
from pixart_tui.cli.options import images_option
from pixart_tui.domain.errors import CancelledError, PixartTuiError, RequestError, WorkError
from pixart_tui.tui.pictures import ImageMode


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  pixart-tui                          the dashboard
  pixart-tui profile                  measure the model that ships with the package
  pixart-tui select last --top-percentage 90
  pixart-tui bench --compiler compile --json bench.json
  pixart-tui generate --prompt "red apple" --scheduler none --output-image apple.png
  pixart-tui compare eager.png quantized.png
  pixart-tui runs""",
)
@click.version_option(__version__, prog_name="pixart-tui")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@images_option
@click.pass_context
def cli(context: click.Context, debug: bool, images: str) -> None:
    """Find the layers of a PixArt transformer that can be quantized, and what that buys.

    Without a command: the dashboard.
    """
    if context.invoked_subcommand is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise RequestError(
                "the dashboard needs a terminal",
                "standard input or output is not one",
                "see what there is as text: pixart-tui runs, or pixart-tui --help",
            )
        from pixart_tui.tui.app import run_dashboard

        run_dashboard(images=ImageMode(images))


cli.modules = dict.fromkeys(("attach", "cancel", "delete", "logs", "resume", "runs"), "runs")
cli.modules |= {
    name: name
    for name in (
        *("bench", "cache", "compare", "demo", "doctor", "export", "generate", "profile"),
        *("report", "select"),
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code: 0, 1, 2 or 130."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        outcome = cli.main(given, prog_name="pixart-tui", standalone_mode=False)
    except (PixartTuiError, CancelledError) as error:
        if "--debug" in given:
            traceback.print_exc()
        return _report(error)
    except click.ClickException as error:
        return _report(_as_request_error(error))
    except OSError as error:
        if "--debug" in given:
            traceback.print_exc()
        return _report(_as_work_error(error))
    except (click.Abort, KeyboardInterrupt):
        return CancelledError.exit_code
    return outcome if isinstance(outcome, int) else 0


def _report(error: PixartTuiError | CancelledError) -> int:
    click.echo("\n".join(error.lines()), err=True)
    return error.exit_code


def _as_work_error(error: OSError) -> WorkError:
    name = error.filename or "a file"
    return WorkError(f"{name} cannot be used", error.strerror or str(error), "see: --debug")


def _as_request_error(error: click.ClickException) -> RequestError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "pixart-tui"
    return RequestError(error.format_message().splitlines()[0], "", f"see: {command} --help")
