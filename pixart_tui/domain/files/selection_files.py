"""The two files that a selection is saved as: its JSON and the sidecar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pixart_tui.domain.files import mixed_file, onediff_file, sidecar
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import Verification


def selection_record(
    profiles: Sequence[Profile],
    selection: Selection,
    names: Sequence[str],
    verification: Verification | None = None,
) -> SelectionSidecar:
    """The record of a selection.

    Args:
        profiles: What the selection was made from, one for each quant type.
        selection: The layers to quantize.
        names: File names of the profiles' JSON files, for the record.
        verification: How it was verified, None where it was not.
    """
    known = {option.key: option for option in candidates_of(profiles).options}
    # In the selection's order, so that onediffx's stable sort keeps ties as they were chosen.
    options = {fqn: known[fqn, kind] for fqn, kind in selection.assignments.items()}
    return SelectionSidecar(
        profile=names[0],
        profiles=tuple(names),
        conditions=profiles[0].conditions,
        selection=selection,
        measured_ssim={fqn: option.ssim for fqn, option in options.items()},
        use_with_top_percentage=100 if selection.fits_onediff else None,
        verification=verification,
    )


def selection_files(
    profiles: Sequence[Profile],
    selection: Selection,
    names: Sequence[str],
    verification: Verification | None = None,
) -> tuple[str, str]:
    """The texts of ``<name>.selected.json`` and of its sidecar; see :func:`selection_record`.

    Returns:
        The JSON of only the chosen layers with their SSIM alone, and the sidecar.
    """
    record = selection_record(profiles, selection, names, verification)
    return selection_text(selection, record.ssim_by_fqn), sidecar.render(record)


def selection_text(selection: Selection, ssim_by_fqn: Mapping[str, float]) -> str:
    """The JSON: onediffx's where it can say the selection, and our own where not.

    Args:
        selection: The layers to quantize.
        ssim_by_fqn: Each one's SSIM alone.
    """
    if selection.fits_onediff:
        return onediff_file.render(ssim_by_fqn)
    return mixed_file.render(selection, ssim_by_fqn)
