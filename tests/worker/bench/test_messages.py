"""The lines between a worker and a benchmark's child."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from pixart_tui.domain.events import Failure
from pixart_tui.worker.bench.messages import CaseFailed, ImageWritten, parse_message


def test_names_may_hold_any_bytes() -> None:
    name = os.fsdecode(b"/models/caf\xe9")
    failure = Failure(title=f"{name} cannot be read", cause=name, next_step="", exit_code=2)
    for sent in (CaseFailed(failure=failure), ImageWritten(path=name)):
        line = sent.model_dump_json(exclude_unset=False).encode()
        assert parse_message(line) == sent


@pytest.mark.parametrize("line", [b"{", b'{"type": "nothing"}', b'{"type": "\\udce9"}'])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValidationError):
        parse_message(line)
