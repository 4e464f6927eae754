"""No command's output takes the place of a device, a link or what the command reads."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixart_tui.cli.main import main
from pixart_tui.domain.profiles.profile import Profile
from tests.samples import conditions, layer, measurement, write_profile

_NAMES = ("a", "b", "c")
_LONGEST = 255 - len(".meta")
_COMMANDS = {
    "report": ["report", "p.json"],
    "select": ["select", "p.json"],
    "export": ["export", "p.json", "--format", "onediff"],
    "torchao": ["export", "p.json", "--format", "torchao"],
    "modelopt": ["export", "p.json", "--format", "modelopt"],
    "compare": ["compare", "a.png", "b.png"],
}
_SINGLE = {"report", "compare"}
"""Those that write nothing beside their output."""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ssims = {name: 0.99 - i / 100 for i, name in enumerate(_NAMES)}
    known = Profile(
        conditions=conditions(),
        layers=tuple(layer(name) for name in _NAMES),
        excluded={},
        measurements=tuple(measurement(name, ssim) for name, ssim in ssims.items()),
    )
    write_profile(tmp_path / "p.json", known, ssims, "cpu")
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(name)


def _name(command: str, stem: str = "out") -> Path:
    endings = {"report": ".html", "compare": ".png", "modelopt": ".py"}
    return Path(stem + endings.get(command, ".json"))


def _write(command: str, output: Path | str) -> int:
    return main([*_COMMANDS[command], "--output", str(output)])


def _listing() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices")
@pytest.mark.parametrize("command", _COMMANDS)
def test_a_device_is_written_to(command: str) -> None:
    node, before = _name(command, "node"), _listing()
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    assert _write(command, node) == 0
    assert stat.S_ISCHR(node.stat().st_mode)
    assert _listing() == before


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_link_is_followed_and_the_mode_of_what_it_names_kept(command: str) -> None:
    Path("elsewhere").mkdir()
    target, link = _name(command, "elsewhere/target"), _name(command, "link")
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    assert _write(command, link) == 0
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.read_bytes() != b"old"
    # What tells about it stands beside the name that was given, where it is looked for.
    assert list(Path("elsewhere").iterdir()) == [target]
    assert _name("select", "link.meta").exists() is (command not in _SINGLE)


@pytest.mark.parametrize("command", _COMMANDS)
def test_the_umask_counts(command: str) -> None:
    before, umask = _listing().keys(), os.umask(0o077)
    try:
        assert _write(command, _name(command)) == 0
    finally:
        os.umask(umask)
    new = _listing().keys() - before
    assert len(new) == (1 if command in _SINGLE else 2)
    assert {stat.S_IMODE(Path(name).stat().st_mode) for name in new} == {0o600}


@pytest.mark.parametrize("command", _COMMANDS)
@pytest.mark.parametrize("length", [249, 250])
def test_long_names_are_legal(command: str, length: int) -> None:
    ending = _name(command).suffix
    output = _name(command, "x" * (length - len(ending)))
    if command == "modelopt" and length + len(".meta.json") - len(ending) > 255:
        assert _write(command, output) == 2
        assert not output.exists()
        return
    assert _write(command, output) == 0
    assert output.is_file()


def test_a_name_without_room_for_its_sidecar_is_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = _listing()
    assert _write("select", "x" * (_LONGEST - 4) + ".json") == 2
    assert "File name too long" in capsys.readouterr().err
    assert _listing() == before


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("select", "p.json"),
        ("select", "./p.json"),
        ("select", "link.json"),
        ("select", "hard.json"),
        ("select", "p.meta.json"),
        ("select", "p"),  # its sidecar would be p.meta.json
        ("export", "p.json"),
        ("export", "link.json"),
        ("modelopt", "p.py"),
        ("torchao", "p"),
        ("report", "p.json"),
        ("report", "p.meta.json"),
        ("compare", "a.png"),
        ("compare", "link.png"),
    ],
)
def test_what_is_read_is_never_written_over(
    command: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("link.json").symlink_to("p.json")
    Path("hard.json").hardlink_to("p.json")
    Path("link.png").symlink_to("b.png")
    before = _listing()
    assert _write(command, output) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert _listing() == before


def test_a_directory_where_the_sidecar_goes_is_told_before_any_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("out.meta.json").mkdir()
    assert main(["profile", "--output", "out.json"]) == 2
    assert "out.meta.json is a directory" in capsys.readouterr().err
    assert not Path("out.json").exists()


def _shell(text: str) -> subprocess.CompletedProcess[str]:
    program = f"{sys.executable} -c 'from pixart_tui.cli.main import main; exit(main())'"
    return subprocess.run(
        ["bash", "-c", f'pixart-tui() {{ {program} "$@"; }}; {text}'],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_standard_output_and_process_substitution_get_the_file() -> None:
    before = _listing()
    done = _shell(
        "pixart-tui select p.json --json --output /dev/stdout | cat;"
        "pixart-tui select p.json --output >(cat >substituted) >told; wait $!;"
        "echo kept >log; pixart-tui export p.json --format onediff --output /dev/fd/3 3>>log >told;"
        "pixart-tui report p.json --output >(head -c1 >/dev/null) </dev/null; echo rc $?"
    )
    first, _, rest = done.stdout.partition("}\n}\n")
    assert set(json.loads(first + "}\n}\n")) == {"a", "b"}
    assert '"rule"' in rest
    assert set(json.loads(Path("substituted").read_text())) == {"a", "b"}
    text = Path("log").read_text()
    assert text.startswith("kept\n{")
    assert set(json.loads(text.removeprefix("kept\n"))) == {"a", "b"}
    assert "Traceback" not in done.stderr
    assert _listing().keys() - before.keys() == {"substituted", "told", "log"}


def test_a_worker_s_file_is_passed_on_to_what_its_command_has_open(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = _listing()
    words = "profile --model synthetic:alpha-tiny --device cpu --prompt robot --steps 2 --draws 1"
    done = _shell(f"pixart-tui {words} --all-samples --display none --output /dev/stdout | cat")
    assert done.stderr == ""
    assert all(0 <= value["ssim"] <= 1 for value in json.loads(done.stdout).values())
    assert _listing() == before
    assert main([*words.split(), "--detach", "--output", "/dev/stdout"]) == 2
    assert "--detach does not go with /dev/stdout" in capsys.readouterr().err


def test_several_profiles_do_not_go_into_one_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--quant-type", "all", "--output", "/dev/null"]) == 2
    assert "/dev/null takes one profile" in capsys.readouterr().err


def test_a_benchmark_writes_over_no_page_that_nobody_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "x.md"
    page.write_text("my notes\n")
    assert main(["bench", "--model", "synthetic:alpha-tiny", "--json", "x.json"]) == 2
    assert "x.md is there and holds no benchmark" in capsys.readouterr().err
    assert page.read_text() == "my notes\n"
    assert not (tmp_path / "x.json").exists()
