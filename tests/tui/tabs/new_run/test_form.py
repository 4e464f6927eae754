"""The form: what is typed, what the command line says to it, and what is started."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot

from pixart_tui.cli.asking import request_of
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import BenchRequest, ProfileRequest
from pixart_tui.runs.paths import runs_root
from pixart_tui.tui.tabs.new_run.fields import FIELDS, FormKind
from pixart_tui.tui.tabs.new_run.screen import FieldRow, NewRunScreen
from tests.tui.pilots import Starts, dashboard, screen_text, until, until_shown


async def _open(pilot: Pilot[None], kind: FormKind = "profile") -> None:
    await until_shown(pilot, "No runs yet")
    await pilot.press("n")
    await until(pilot, lambda: isinstance(pilot.app.screen, NewRunScreen))
    if kind == "bench":
        await pilot.press("ctrl+t")
    await until(pilot, lambda: f"New {kind} run" in _text(pilot))


def _text(pilot: Pilot[None]) -> str:
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


async def _type(pilot: Pilot[None], label: str, text: str) -> None:
    """Goes to a field with the keyboard alone, and types."""
    rows = list(pilot.app.screen.query(FieldRow))
    focused = next(index for index, row in enumerate(rows) if row.input.has_focus)
    steps = [row.field.label for row in rows].index(label) - focused
    await pilot.press(*["down" if steps > 0 else "up"] * abs(steps), *text)


async def _until_said(pilot: Pilot[None], *texts: str) -> None:
    await until(pilot, lambda: all(text in _text(pilot) for text in texts))


async def test_empty_fields_ask_for_what_the_bare_command_asks_for() -> None:
    starts = Starts()

    async with dashboard(starts=starts).run_test() as pilot:
        await _open(pilot)
        await _until_said(pilot, "✓ adjoint, fp8_e4m3_e4m3_dynamic", "$ pixart-tui profile\n")
        assert starts.runs == []
        await pilot.press("enter")
        await until(pilot, lambda: len(starts.runs) == 1)
        await until_shown(pilot, f"run {starts.runs[0].id}", "pixart-emoji")

    assert starts.runs[0].record is not None
    assert starts.runs[0].record.request == request_of(["profile"])


def test_the_form_leaves_standard_input_to_the_dashboard() -> None:
    with pytest.raises(RequestError, match="cannot read prompts from standard input") as refused:
        request_of(["bench", "--prompts-file", "-"])

    assert refused.value.option == "--prompts-file"


async def test_every_field_of_a_profile_gets_into_its_request(tmp_path: Path) -> None:
    starts, prompts = Starts(), tmp_path / "prompts.txt"
    prompts.write_text("owl\n# no prompt\nrobot\n")
    typed = {
        "model": "synthetic:alpha",
        "quant types": "int8_dynamic, fp8_e4m3_e4m3_dynamic",
        "method": "adjoint",
        "draws": "4",
        "max minutes": "2.5",
        "prompts file": str(prompts),
        "seeds": "3",
        "steps": "7",
        "guidance": "1.5",
        "height": "64",
        "width": "128",
        "device": "cpu",
        "output": str(tmp_path / "deep" / "p.json"),
    }

    async with dashboard(starts=starts).run_test(size=(120, 36)) as pilot:
        await _open(pilot)
        for label, text in typed.items():
            await _type(pilot, label, text)
        asked = "✓ adjoint, int8_dynamic, fp8_e4m3_e4m3_dynamic, 2 prompts, 3 seeds, on cpu"
        await _until_said(pilot, asked, "and 1 more JSON beside it")
        assert not (tmp_path / "deep").exists()
        await pilot.press("ctrl+y", "ctrl+s")
        await until(pilot, lambda: len(starts.runs) == 1)

    assert starts.runs[0].record is not None
    request = starts.runs[0].record.request
    assert isinstance(request, ProfileRequest)
    assert request.model == "synthetic:alpha"
    assert request.quant_types == ("int8_dynamic", "fp8_e4m3_e4m3_dynamic")
    assert (request.method, request.draws, request.max_minutes) == ("adjoint", 4, 2.5)
    assert request.prompts == ("owl", "robot")
    assert (request.seeds, request.num_inference_steps) == ((0, 1, 2), 7)
    assert (request.guidance_scale, request.height, request.width) == (1.5, 64, 128)
    assert request.output == typed["output"]
    command = (runs_root() / "command.txt").read_text()
    assert request_of(shlex.split(command)[1:]) == request


async def test_every_field_of_a_bench_gets_into_its_request(tmp_path: Path) -> None:
    starts, layers = Starts(), tmp_path / "layers.json"
    layers.write_text(json.dumps({"transformer_blocks.0.ff.net.2": {"ssim": 0.99}}))
    typed = {
        "compilers": "none, torch",
        "quant type": "int8_weightonly",
        "layer file": str(layers),
        "steps": "4",
        "output": str(tmp_path / "bench.json"),
    }

    async with dashboard(starts=starts).run_test(size=(120, 36)) as pilot:
        await _open(pilot, "bench")
        for label, text in typed.items():
            await _type(pilot, label, text)
        await _until_said(pilot, "✓ none, torch, quantized rows with int8_weightonly")
        await pilot.press("enter")
        await until(pilot, lambda: len(starts.runs) == 1)

    assert starts.runs[0].record is not None
    request = starts.runs[0].record.request
    assert isinstance(request, BenchRequest)
    assert request.compilers == ("none", "torch")
    assert (request.quantize, request.quant_type) == (True, "int8_weightonly")
    assert request.quant_submodules_config_path == str(layers)
    assert request.output == typed["output"]
    assert request_of(shlex.split(request.command)[1:]) == request


@pytest.mark.parametrize(
    ("kind", "label", "text", "said"),
    [
        ("profile", "model", "./nowhere", "is not a directory"),
        ("profile", "quant types", "fp9", "there is no quant type"),
        ("profile", "draws", "0", "not in the range"),
        ("profile", "max minutes", "soon", "not a valid float"),
        ("profile", "method", "slow", "is not one of"),
        ("profile", "prompts file", "none.txt", "cannot be read"),
        ("profile", "seeds", "0", "not in the range"),
        ("profile", "steps", "many", "not a valid integer"),
        ("profile", "guidance", "-1", "not in the range"),
        ("profile", "height", "100", "not a multiple of 16"),
        ("profile", "width", "99999", "not in the range"),
        ("profile", "device", "cuda:77", "there is no device"),
        ("profile", "output", ".", "is a directory"),
        ("profile", "output", "/etc/passwd/p.json", "cannot be written"),
        ("bench", "compilers", "tensorrt", "is not one of"),
        ("bench", "quant type", "fp9", "there is no quant type"),
        ("bench", "layer file", "none.json", "cannot be read"),
        ("bench", "matrix", "all", "is not 'onediff'"),
        ("bench", "output", ".", "is a directory"),
    ],
)
async def test_an_error_names_its_field_and_starts_nothing(
    kind: FormKind, label: str, text: str, said: str
) -> None:
    starts = Starts()

    async with dashboard(starts=starts).run_test() as pilot:
        await _open(pilot, kind)
        await _type(pilot, label, text)
        await _until_said(pilot, f"✗ {label}: ", f" ✗ {label}", said)
        await pilot.press("up", "enter")
        await until(pilot, lambda: _blamed(pilot, label).input.has_focus)
        assert isinstance(pilot.app.screen, NewRunScreen)

    assert starts.runs == []
    assert not list(runs_root().glob("*"))


def _blamed(pilot: Pilot[None], label: str) -> FieldRow:
    return next(row for row in pilot.app.screen.query(FieldRow) if row.field.label == label)


async def test_what_is_typed_is_still_there_after_going_back() -> None:
    async with dashboard(starts=Starts()).run_test() as pilot:
        await _open(pilot)
        await _type(pilot, "steps", "12")
        await pilot.press("ctrl+t", "ctrl+t")
        await _until_said(pilot, "New profile run", "--steps 12")
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        await _open(pilot)
        await _until_said(pilot, "$ pixart-tui profile --steps 12")


async def test_what_comes_in_one_packet_goes_where_it_was_meant() -> None:
    async with dashboard(starts=Starts()).run_test() as pilot:
        await _open(pilot)
        for key in ("down", "down", "tab", "9"):
            pilot.app.post_message(Key(key, key if len(key) == 1 else None))
        await _until_said(pilot, "$ pixart-tui profile --draws 9")


async def test_the_command_line_is_copied_and_written_down() -> None:
    app = dashboard(starts=Starts())
    async with app.run_test() as pilot:
        await _open(pilot)
        await _type(pilot, "model", "synthetic:sigma")
        await pilot.press("ctrl+y")
        await _until_said(pilot, "it stands in")

    assert app.clipboard == "pixart-tui profile --model synthetic:sigma"
    assert (runs_root() / "command.txt").read_text() == f"{app.clipboard}\n"


@pytest.mark.parametrize("kind", ["profile", "bench"])
async def test_the_form_fits_into_80x24(kind: FormKind) -> None:
    app = dashboard(starts=Starts())
    async with app.run_test(size=(80, 24)) as pilot:
        await _open(pilot, kind)
        await _until_said(pilot, "✓", f"$ pixart-tui {kind}")
        lines = screen_text(app)

    for field in FIELDS[kind]:
        assert any(row.strip().startswith(field.label) for row in lines)
    assert "Start" in lines[-1]
    assert "Back" in lines[-1]
