"""The roles of a run's files: results that the user named, files beside those, and images."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a file of a run is. A journal of a newer version may hold others, which are strings."""

    PROFILE = "profile"
    SIDECAR = "sidecar"
    EFFECTS = "effects"
    BENCH = "bench"
    SELECTION = "selection"
    EXPORT = "export"
    SIDE_BY_SIDE = "side_by_side"
    OUTPUT_IMAGE = "output_image"
    IMAGE = "image"
    BASELINE_IMAGE = "baseline_image"
    LAYER_IMAGE = "layer_image"
    BENCH_IMAGE = "bench_image"
    SELECTION_IMAGE = "selection_image"
    JOINT_IMAGE = "joint_image"
    QUANTIZED_IMAGE = "quantized_image"


RESULTS = frozenset(
    {
        Role.PROFILE,
        Role.BENCH,
        Role.SELECTION,
        Role.EXPORT,
        Role.SIDE_BY_SIDE,
        Role.OUTPUT_IMAGE,
    }
)
"""Files that the user named: they stay when the run is deleted."""
BESIDE = frozenset({Role.SIDECAR, Role.EFFECTS})
"""Files beside a result, which stay with it."""
COMPARED = frozenset(
    {
        Role.LAYER_IMAGE,
        Role.BENCH_IMAGE,
        Role.SELECTION_IMAGE,
        Role.QUANTIZED_IMAGE,
        Role.JOINT_IMAGE,
    }
)
"""Images that are shown beside the baseline of their prompt and seed."""
