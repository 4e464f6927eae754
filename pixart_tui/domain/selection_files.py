"""The two files that a selection is saved as: the onediffx JSON and its sidecar."""

from __future__ import annotations

from pixart_tui.domain import onediff_file, sidecar
from pixart_tui.domain.profile import Profile
from pixart_tui.domain.selection import Selection
from pixart_tui.domain.sidecar import SelectionSidecar


def selection_files(profile: Profile, selection: Selection, profile_name: str) -> tuple[str, str]:
    """The texts of ``<name>.selected.json`` and of its sidecar.

    Args:
        profile: What the selection was made from.
        selection: The layers to quantize.
        profile_name: File name of the profile's JSON, for the record.

    Returns:
        The onediffx JSON of only the chosen layers with their measured SSIM, and the sidecar.
    """
    chosen = set(selection.chosen)
    measured = {s.layer.fqn: s.ssim for s in profile.scores() if s.layer.fqn in chosen}
    # In the selection's order, so that onediffx's stable sort keeps ties as they were chosen.
    ssim_by_fqn = {fqn: ssim for fqn in selection.chosen if (ssim := measured[fqn]) is not None}
    record = SelectionSidecar(
        profile=profile_name,
        conditions=profile.conditions,
        selection=selection,
        measured_ssim=ssim_by_fqn,
    )
    return onediff_file.render(ssim_by_fqn), sidecar.render(record)
