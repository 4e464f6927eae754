"""The dashboard's entries in the command palette."""

from __future__ import annotations

from typing import Final

from pixart_tui.tui.widgets.tab_strip import TABS

COMMANDS: Final[tuple[tuple[str, str, str], ...]] = (
    *((title, f"Show the tab {title}", f"app.show_tab('{tab}')") for tab, title in TABS),
    ("New profile", "Profile pixart-emoji with the usual settings", "app.new_profile"),
    ("Resume run", "Start a worker on the run of this tab", "app.resume_run"),
    ("Cancel run", "Stop the worker of this tab's run", "app.cancel_run"),
    ("Next rule", "Take the next rule for selecting layers", "app.select('next_rule')"),
    ("Save selection", "Write the selected layers beside the profile", "app.select('save')"),
    ("Benchmark selection", "Save the selection and benchmark it", "app.select('bench')"),
    ("Verify selection", "Measure all selected layers at once", "app.select('verify')"),
    ("Curve", "Show the loss over the whole range of shares", "app.select('curve')"),
    ("Pictures", "Show the pictures of this tab's run", "app.open_pictures"),
    ("Dark or light", "Change between the dark and the light theme", "app.switch_theme"),
    ("Help", "The keys and the marks", "app.help"),
    ("Leave", "Close the dashboard; whatever runs goes on", "app.quit"),
)
"""Title, help and action of each entry."""
