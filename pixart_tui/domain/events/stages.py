"""The stages of a run's work."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Where the work is. A journal of another version may name other stages, which are kept."""

    WAITING = "waiting"
    """For the device, which another run holds."""

    STARTING = "starting"
    STOPPED = "stopped"
    LOADING = "loading"
    ENCODING = "encoding"
    BASELINE = "baseline"
    FLOOR = "floor"
    LATENCY = "latency"
    MEASURING = "measuring"
    COMPARING = "comparing"
    QUANTIZING = "quantizing"
    DEPLOYING = "deploying"
    GENERATING = "generating"
    BENCHMARKING = "benchmarking"
    REPAIR = "repair"
    REPORT = "report"
    EVERY_STEP = "every-step"
    ONEDIFF_RULE = "onediff-rule"
    WRITING = "writing"

    @classmethod
    def _missing_(cls, value: object) -> Stage | None:
        if not isinstance(value, str):
            return None
        other = str.__new__(cls, value)
        other._name_, other._value_ = value, value
        return other
