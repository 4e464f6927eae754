"""The command line: commands, and how every error becomes an exit code and a few lines."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pixart_tui import __version__
from pixart_tui.cli.display.dashboard import Viewer, dashboard_options, open_dashboard, settings_of
from pixart_tui.cli.display.writing import leave_closed_pipe, prepare_streams, say
from pixart_tui.cli.lazy_group import LazyGroup
from pixart_tui.cli.options.common import is_interactive
from pixart_tui.cli.streams import open_closed_streams
from pixart_tui.domain.errors import CancelledError, PixartTuiError, RequestError, WorkError

if TYPE_CHECKING:
    from pixart_tui.domain.requests import BenchRequest, ProfileRequest


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  pixart-tui                          the dashboard
  pixart-tui --ascii --no-mouse       the same in ASCII, the mouse left to the terminal
  pixart-tui profile                  measure the model that ships with the package
  pixart-tui select last --top-percentage 90
  pixart-tui bench --compiler compile --json bench.json
  pixart-tui generate --prompt "red apple" --scheduler none --output-image apple.png
  pixart-tui compare eager.png quantized.png
  pixart-tui runs""",
)
@click.version_option(__version__, prog_name="pixart-tui")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@dashboard_options
@click.pass_context
def cli(context: click.Context, /, debug: bool, **display: Any) -> None:
    """Find the layers of a PixArt transformer that can be quantized, and what that buys.

    Without a command: the dashboard, on the newest run that is going on if there is one. The
    options say how the dashboard looks, whichever command opens it; docs/dashboard.md says more.
    """
    context.obj = Viewer(settings_of(display) if is_interactive() else None, _request_of)
    if context.invoked_subcommand is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise RequestError(
                "the dashboard needs a terminal",
                cause="standard input or output is not one",
                next_step="see what there is as text: pixart-tui runs, or pixart-tui --help",
            )
        open_dashboard()


cli.modules = {
    "attach": "runs",
    "bench": "bench",
    "cache": "cache",
    "cancel": "runs",
    "compare": "compare",
    "delete": "runs",
    "demo": "demo",
    "doctor": "doctor",
    "export": "export",
    "generate": "generate",
    "logs": "runs",
    "profile": "profile",
    "report": "report",
    "resume": "runs",
    "runs": "runs",
    "select": "select",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code: 0, 1, 2 or 130."""
    open_closed_streams()
    prepare_streams()
    given, stdout = list(sys.argv[1:] if arguments is None else arguments), sys.stdout
    try:
        return _run(given)
    except SystemExit:
        # click exchanges the stream and leaves with code 1 where its reader went away.
        if sys.stdout is not stdout:
            return leave_closed_pipe()
        raise


def _run(given: Sequence[str]) -> int:
    try:
        outcome = cli.main(given, prog_name="pixart-tui", standalone_mode=False)
    except (PixartTuiError, CancelledError) as error:
        if "--debug" in given:
            traceback.print_exc()
        return _report(error)
    except click.ClickException as error:
        from pixart_tui.cli.asking import as_request_error

        return _report(as_request_error(error))
    except (OSError, UnicodeError) as error:
        if "--debug" in given:
            traceback.print_exc()
        return _report(_explained(error))
    except (click.Abort, KeyboardInterrupt):
        return CancelledError.exit_code
    return outcome if isinstance(outcome, int) else 0


def _request_of(words: Sequence[str]) -> ProfileRequest | BenchRequest:
    from pixart_tui.cli.asking import request_of  # not before a form is opened

    return request_of(words)


def _report(error: PixartTuiError | CancelledError) -> int:
    for line in error.lines():
        say(line, err=True)
    return error.exit_code


def _explained(error: OSError | UnicodeError) -> PixartTuiError:
    if isinstance(error, OSError):
        name = error.filename or "a file"
        return WorkError(
            f"{name} cannot be used", cause=error.strerror or str(error), next_step="see: --debug"
        )
    return RequestError(
        "a name is not UTF-8, or cannot be used in this locale",
        cause=f"{error}; files are named in {sys.getfilesystemencoding()}",
        next_step="rename it, or use another locale: LC_ALL=C.UTF-8",
    )
