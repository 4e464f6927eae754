"""``bench --compiler-config``: refused before a run is made, kept in canonical form."""

from __future__ import annotations

import pytest

from pixart_tui.cli.display import starting
from pixart_tui.cli.main import main
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.paths import runs_root
from pixart_tui.runs.run import Run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compiler-config", '{"mode": "jit"}'], "needs --compiler torch"),
        (["--compiler", "compile", "--compiler-config", "{}"], "needs --compiler torch"),
        (["--matrix", "onediff", "--compiler-config", "{}"], "needs --compiler torch"),
        (["--compiler", "torch", "--compiler-config", ""], "is not a JSON object"),
        (["--compiler", "torch", "--compiler-config", "{"], "column 2"),
        (["--compiler", "torch", "--compiler-config", '{"mode": "jitt"}'], 'write "jit"'),
        (["--compiler", "torch", "--compiler-config", '{"mod": "jit"}'], 'write "mode"'),
    ],
)
def test_a_wrong_configuration_starts_no_run(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) <= 5
    assert not runs_root().exists() or not list(runs_root().iterdir())


def test_the_request_holds_the_canonical_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Run] = []
    monkeypatch.setattr(starting, "start_worker", started.append)
    config = '{"dynamic":true,"mode":"jit"}'
    arguments = ["--compiler", "torch", "--compiler-config", config, "--detach"]
    assert main(["bench", *arguments]) == 0
    record = find_run(capsys.readouterr().out.strip()).record
    assert len(started) == 1
    assert record is not None
    assert isinstance(record.request, BenchRequest)
    assert record.request.compiler_config == (
        '{"mode": "jit", "memory_format": "channels_last", "dynamic": true}'
    )
