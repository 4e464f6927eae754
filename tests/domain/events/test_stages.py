from __future__ import annotations

from pixart_tui.domain.events import StageChanged
from pixart_tui.domain.events.stages import Stage


def test_a_stage_of_another_version_is_kept_by_its_name() -> None:
    line = '{"type":"stage","stage":"probing","detail":"","done":0,"total":0}'
    read = StageChanged.model_validate_json(line)
    assert (read.stage.value, f"{read.stage}") == ("probing", "probing")
    assert read.model_dump_json() == line
    assert "probing" not in [stage.value for stage in Stage]
