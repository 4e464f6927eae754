"""``pixart-tui generate``: every flag, the lines that it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pixart_tui.cli.display import starting
from pixart_tui.cli.main import main
from pixart_tui.domain.deploying.deployment import COMPILERS
from pixart_tui.domain.generation import CallOptions
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.runs.catalogue import find_run, list_runs
from pixart_tui.runs.run import Run, RunState
from tests.stand_ins import nexfort

_TINY = ("generate", "--model", "synthetic:sigma-tiny", "--scheduler", "none", "--device", "cpu")
_RULE = "=" * 39
_S, _NUMBER = r"\d+\.\d{3}s", r"\d+\.\d{3}"
_LIMIT_S = 240


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> Callable[..., GenerateRequest]:
    """What a command line asks for; no worker starts."""
    monkeypatch.setattr(starting, "start_worker", lambda _run: 0)
    monkeypatch.setattr(starting, "follow", lambda _run, _display: 0)

    def ask(*arguments: str) -> GenerateRequest:
        assert main(["generate", *arguments]) == 0
        record = find_run("last").record
        assert record is not None
        assert isinstance(record.request, GenerateRequest)
        return record.request

    return ask


def test_the_defaults_are_those_of_onediffs_script(
    requested: Callable[..., GenerateRequest],
) -> None:
    request = requested("--device", "cpu")
    assert request.prompts == ("best quality, realistic, unreal engine, 4K, a beautiful girl",)
    assert request.scheduler == "EulerAncestralDiscreteScheduler"
    assert (request.num_inference_steps, request.seed) == (30, 333)
    assert (request.warmups, request.batch) == (1, 1)
    assert (request.height, request.width, request.output) == (None, None, None)
    # These are ours.
    assert (request.model, request.compiler, request.quantize) == ("pixart-emoji", "none", False)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--model", "org/name"], "model", "org/name"),
        (["--variant", "fp16"], "variant", "fp16"),
        (["--scheduler", "none"], "scheduler", "none"),
        (["--steps", "7"], "num_inference_steps", 7),
        (["--prompt", "red apple"], "prompts", ("red apple",)),
        (["--prompt", ""], "prompts", ("",)),
        (["--negative-prompt", "blurry"], "negative_prompt", "blurry"),
        (["--seed", "18446744073709551615"], "seed", 2**64 - 1),
        (["--warmups", "0"], "warmups", 0),
        (["--batch", "4"], "batch", 4),
        (["--height", "1000"], "height", 1000),
        (["--width", "512"], "width", 512),
        (["--print-output"], "print_output", True),
        (["--throughput"], "throughput", True),
        (["--run_multiple_resolutions", "1"], "multiple_resolutions", True),
        (["--run_multiple_resolutions", "True"], "multiple_resolutions", True),
        (["--run_multiple_resolutions"], "multiple_resolutions", True),
        (["--run_multiple_resolutions", "no"], "multiple_resolutions", False),
        (["--compiler", "compile-max-autotune"], "compiler", "compile-max-autotune"),
        (["--extra-call-kwargs", '{"eta": 0.5}'], "call_options", CallOptions(eta=0.5)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_flag_is_what_it_says(
    requested: Callable[..., GenerateRequest], arguments: list[str], name: str, value: object
) -> None:
    assert getattr(requested("--device", "cpu", *arguments), name) == value


def test_the_files_are_found_by_a_worker_elsewhere(
    requested: Callable[..., GenerateRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fp8_e4m3.json").write_text('{"proj_out": {"ssim": 0.9}}')
    config = '{"quant_type": "int8_dynamic", "top_percentage": 80}'

    request = requested(
        *("--compiler", "torch", "--compiler-config", '{"mode": "jit"}', "--quantize"),
        *("--quantize-config", config, "--quant-submodules-config-path", "fp8_e4m3.json"),
        *("--output-image", "pixart_alpha_fp8_90%.png"),
    )

    assert request.quant_submodules_config_path == str(tmp_path / "fp8_e4m3.json")
    assert request.output == str(tmp_path / "pixart_alpha_fp8_90%.png")
    assert (request.quantize, request.quant_type) == (True, "int8_dynamic")
    assert request.top_percentage == 80
    assert json.loads(request.compiler_config) == {
        **{"mode": "jit", "memory_format": "channels_last", "dynamic": False}
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compiler-config", '{"mode": "jit"}'], "--compiler-config has no effect"),
        (["--quantize-config", '{"quant_type": "int8_dynamic"}'], "quantization options have no"),
    ],
)
def test_what_has_no_effect_is_told(
    requested: Callable[..., GenerateRequest],
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    requested("--device", "cpu", *arguments)
    assert said in capsys.readouterr().err


def test_a_run_prints_the_lines_of_onediffs_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "owl.png"

    assert main([*_TINY, "--steps", "2", "--output-image", str(output), "--print-output"]) == 0

    out, err = capsys.readouterr()
    wanted = [
        *(_RULE, "Begin warmup", "End warmup", rf"Warmup time: {_S}", _RULE),
        *(_RULE, rf"Inference time: {_S}", rf"Iterations per second: {_NUMBER}"),
        *(rf"Max used memory : {_NUMBER}GiB", _RULE, re.escape(str(output))),
    ]
    _check_lines(out, wanted)
    assert f"wrote {output}" in err
    assert Image.open(output).size == (64, 64)
    (run,) = list_runs()
    assert main(["attach", run.id, "--display", "plain"]) == 0
    _check_lines(capsys.readouterr().out, wanted)
    # The plain display looks four times a second and may miss a stage; the journal has them all.
    assert main(["attach", run.id, "--display", "json"]) == 0
    assert '"stage":"generating","detail":"image 64x64"' in capsys.readouterr().out


def test_without_a_file_it_asks_for_one_and_the_rest_is_timed_in_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ("--steps", "1", "--warmups", "0", "--run_multiple_resolutions", "1")

    assert main([*_TINY, *flags]) == 0

    sides = (64, 32, 48, 16)
    wanted = [
        *(_RULE, rf"Inference time: {_S}", rf"Max used memory : {_NUMBER}GiB", _RULE),
        "Please set `--output-image` to save the output image",
        "Test run with multiple resolutions\\.\\.\\.",
    ]
    for height in sides:
        for width in sides:
            wanted += [rf"Running at resolution: {height}x{width}", r"Inference time: .* seconds"]
    _check_lines(capsys.readouterr().out, wanted)


def _check_lines(out: str, wanted: list[str]) -> None:
    lines = out.splitlines()
    assert len(lines) == len(wanted), out
    for line, pattern in zip(lines, wanted, strict=True):
        assert re.fullmatch(pattern, line), (pattern, line)


def test_no_speed_is_printed_for_a_simulation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*_TINY, "--steps", "2", "--warmups", "0", "--quantize"]) == 0

    out, err = capsys.readouterr()
    assert "Inference time: simulated" in out
    assert "Iterations per second: simulated" in out
    assert not re.search(r"\d", out)
    assert "notice: fp8_e4m3_e4m3_dynamic is simulated here" in err


def test_json_shows_the_journal_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*_TINY, "--steps", "1", "--warmups", "0", "--display", "json"]) == 0
    out, _ = capsys.readouterr()
    types = [json.loads(line)["event"]["type"] for line in out.splitlines()]
    assert "generate_planned" in types
    assert types.count("call_made") == 1
    assert types[-1] == "attempt_finished"


@pytest.mark.parametrize("compiler", ["nexfort", "oneflow"])
def test_a_backend_that_is_missing_is_told_at_once(
    compiler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("generate", "bench"):
        assert main([name, "--compiler", compiler]) == 2
        err = capsys.readouterr().err
        assert f"--compiler {compiler} cannot run: it is not installed" in err
        assert "--compiler torch" in err
        assert len(err.splitlines()) <= 5
    assert not list_runs()


@pytest.mark.real_processes
def test_nexfort_runs_with_the_real_onediffx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As OneDiff's last command does, with a recording stand-in for nexfort."""
    recorded = nexfort.install(tmp_path, monkeypatch)
    file = tmp_path / "fp8_e4m3.json"
    names = ["proj_out", "transformer_blocks.0.attn1.to_q", "transformer_blocks.1.ff.net.2"]
    file.write_text(json.dumps({name: {"ssim": 0.9} for name in names}))
    mode = "quant:max-optimize:max-autotune:freezing:benchmark:low-precision:cudagraphs"
    config = json.dumps({"mode": mode, "memory_format": "channels_last"})
    flags = (
        *("--steps", "2", "--compiler", "nexfort", "--compiler-config", config, "--quantize"),
        *("--quantize-config", '{"quant_type": "fp8_e4m3_e4m3_dynamic"}'),
        *("--quant-submodules-config-path", str(file)),
        *("--output-image", str(tmp_path / "owl.png")),
    )

    assert main([*_TINY, *flags]) == 0

    out, _ = capsys.readouterr()
    assert out.splitlines()[0] == "Nexfort backend is now active..."
    assert re.search(rf"^Inference time: {_S}$", out, re.MULTILINE)
    (asked,) = recorded.of("quantize")
    assert asked["quant_type"] == "fp8_e4m3_e4m3_dynamic"
    assert asked["allowed"] == names[:2]
    assert {call["options"]["mode"] for call in recorded.of("compile")} == {mode}
    assert (tmp_path / "owl.png").exists()


_BAD: dict[str, tuple[list[str], str]] = {
    "compiler": (["--compiler", "tensorrt"], "tensorrt"),
    "config that is no JSON": (
        ["--compiler", "torch", "--compiler-config", "{mode"],
        "JSON object",
    ),
    "mode": (
        ["--compiler", "torch", "--compiler-config", '{"mode": "max-optimise"}'],
        "max-optimize",
    ),
    "mode of nexfort": (["--compiler-config", '{"mode": "frezing"}'], "freezing"),
    "quantize config that is no JSON": (["--quantize-config", "{'a': 1}"], "not a JSON object"),
    "quant type": (
        ["--quantize", "--quantize-config", '{"quant_type": "fp8_e4m3_e4m3_dinamic"}'],
        "fp8_e4m3_e4m3_dynamic",
    ),
    "key": (["--quantize-config", '{"quant_typ": "int8_dynamic"}'], "quant_type"),
    "layer file": (["--quant-submodules-config-path", "none.json"], "none.json"),
    "layer file that is damaged": (["--quant-submodules-config-path", "damaged.json"], "line 1"),
    "layer file without ssim": (["--quant-submodules-config-path", "other.json"], '"a" has no'),
    "call arguments that are no JSON": (["--extra-call-kwargs", "guidance_scale=4"], "JSON object"),
    "call argument": (["--extra-call-kwargs", '{"guidance": 4}'], "guidance_scale"),
    "call argument with a flag": (["--extra-call-kwargs", '{"height": 64}'], "--height"),
    "call argument of a wrong type": (["--extra-call-kwargs", '{"eta": "x"}'], "eta"),
    "output below a file": (["--output-image", "damaged.json/x.png"], "cannot be written"),
    "output that is a folder": (["--output-image", "folder.png"], "is a directory"),
    "output without a format": (["--output-image", "image"], ".png"),
    "output of another format": (["--output-image", "image.mp3"], ".png"),
    "height": (["--height", "7"], "7"),
    "steps": (["--steps", "0"], "0"),
    "seed": (["--seed", "-1"], "-1"),
    "seed that is too large": (["--seed", str(2**64)], "seed"),
    "batch": (["--batch", "0"], "0"),
    "warm-ups": (["--warmups", "-1"], "-1"),
    "answer": (["--run_multiple_resolutions", "maybe"], "maybe"),
    "device": (["--device", "cuda:7"], "cuda:7"),
    "model directory": (["--model", "./nowhere"], "nowhere"),
    "a flag that PixArt has no use for": (["--controlnet", "x"], "--controlnet"),
}


@pytest.mark.parametrize("name", _BAD)
def test_bad_input_is_refused_before_anything_starts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damaged.json").write_text('{"proj_out": {"ssim": 0.9')
    (tmp_path / "other.json").write_text('{"a": {"psnr": 1}}')
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    arguments, said = _BAD[name]

    assert main(["generate", *arguments]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) <= 5
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_the_worker_refuses_is_exit_code_2_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "x.png"
    assert main([*_TINY, "--height", "72", "--output-image", str(output)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Choose 64" in err
    assert not output.exists()


def _start(*arguments: str, limit: str = "") -> subprocess.Popen[str]:
    words = shlex.join([sys.executable, "-m", "pixart_tui", *arguments])
    return subprocess.Popen(
        ["bash", "-c", f"{limit}exec {words}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_batch_beyond_the_limit_of_the_process_fails_and_says_what_fits(tmp_path: Path) -> None:
    """By the kernel's own limit on the address space, which the worker inherits: 13 GiB in 10."""
    output = tmp_path / "x.png"
    process = _start(
        *(*_TINY, "--batch", "10000", "--steps", "1", "--output-image", str(output)),
        limit=f"ulimit -v {10 * 2**20}; ",
    )
    out, err = process.communicate(timeout=_LIMIT_S)

    assert process.returncode == 1, err
    assert out == ""
    assert "10000 images of 64x64 at once do not fit into memory" in err
    assert re.search(r"next: --batch \d+ should fit", err)
    assert not output.exists()


def test_ctrl_c_cancels_the_run(tmp_path: Path) -> None:
    output = tmp_path / "x.png"
    process = _start(*_TINY, "--steps", "1000", "--warmups", "100", "--output-image", str(output))
    try:
        run = _wait_for(lambda found: found.snapshot.done > 0)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=_LIMIT_S)
    finally:
        process.kill()

    assert process.returncode == 130, err
    run.poll()
    assert run.state() is RunState.CANCELLED
    assert not output.exists()


def _wait_for(ready: Callable[[Run], bool]) -> Run:
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        for run in list_runs():
            run.poll()
            if ready(run):
                return run
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def test_help_lists_every_compiler_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMPILERS)
    assert "pixart-tui generate --prompt" in out


def test_pictures_are_drawn_in_a_terminal(tmp_path: Path) -> None:
    import pty

    controller, terminal = pty.openpty()
    arguments = (*_TINY, "--steps", "1", "--warmups", "0", "--print-output")
    environment = os.environ | {"TERM": "xterm-256color", "TMUX": "x", "COLORTERM": "truecolor"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "pixart_tui", *arguments],
        stdout=terminal,
        stderr=subprocess.PIPE,
        env=environment,
    )
    os.close(terminal)
    seen = _read_all(controller)
    assert process.wait(timeout=_LIMIT_S) == 0
    assert seen.count("▀") > 100
    assert "the file is at" in seen
    assert "image-0.png" in seen.replace("\r\n", "")


def _read_all(controller: int) -> str:
    found = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        found += part
    return found.decode(errors="replace")


def test_the_request_that_stands_in_a_run_is_read_back_as_it_was() -> None:
    request = GenerateRequest(
        prompts=("owl",),
        call_options=CallOptions(timesteps=(900, 500), guidance_scale=2),
        device="cpu",
    )
    assert GenerateRequest.model_validate_json(request.model_dump_json()) == request
