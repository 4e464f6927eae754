"""The dashboard's entries in the command palette."""

from __future__ import annotations

from typing import Final

from pixart_tui.tui.widgets.tab_strip import TABS

COMMANDS: Final[tuple[tuple[str, str, str], ...]] = (
    *((title, f"Show the tab {title}", f"app.show_tab('{tab}')") for tab, title in TABS),
    ("New run", "Fill in a form: a profile, or a benchmark", "app.new_run"),
    ("Open run", "Show the run under the cursor of the tab Runs", "app.in_tab('runs', 'open')"),
    ("Resume run", "Start a worker on the run of this tab", "app.resume_run"),
    ("Cancel run", "Stop the worker of this tab's run", "app.cancel_run"),
    ("Delete run", "Delete the run under the cursor of the tab Runs", "app.delete_run"),
    ("Open log", "Show what the worker of this tab's run printed", "app.open_log"),
    ("Search log", "Look for a text in the log", "app.in_tab('log', 'search')"),
    ("End of log", "Follow the log's end", "app.in_tab('log', 'follow_end')"),
    ("Pictures", "Show the pictures of this tab's run", "app.open_pictures"),
    (
        "Next quant type",
        "Show the next of the quant types that were measured together",
        "app.in_tab('profile', 'next_type')",
    ),
    ("Next rule", "Take the next rule for selecting layers", "app.in_tab('select', 'next_rule')"),
    (
        "Choose steps",
        "Choose also the steps at which less is quantized, or no longer",
        "app.in_tab('select', 'choose_steps')",
    ),
    (
        "Save selection",
        "Write the selected layers beside the profile",
        "app.in_tab('select', 'save')",
    ),
    ("Benchmark selection", "Save the selection and benchmark it", "app.in_tab('select', 'bench')"),
    ("Verify selection", "Measure all selected layers at once", "app.in_tab('select', 'verify')"),
    ("Curve", "Show the loss over the whole range of shares", "app.in_tab('select', 'curve')"),
    ("Dark or light", "Change between the dark and the light theme", "app.switch_theme"),
    ("Draw again", "Draw all again, where something wrote over it", "app.redraw"),
    ("Help", "The keys and the marks", "app.help"),
    ("Leave", "Close the dashboard; whatever runs goes on", "app.quit"),
)
"""Title, help and action of each entry."""
