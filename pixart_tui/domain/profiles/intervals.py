"""The confidence of every interval that is shown."""

from __future__ import annotations

from typing import Final

CONFIDENCE: Final = 0.95
"""The share of such intervals that hold the true value."""

TAIL: Final = 0.025
"""The share beyond each end."""
