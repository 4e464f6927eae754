"""Option strings and files that nobody would write."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

from benchmarks.chaos.kinds import MODEL
from benchmarks.chaos.parts import Case, Part, References
from benchmarks.chaos.trying import Try, processes_of

_TRIES: Final = 300
_FILES: Final = ("--prompts-file", "--quant-submodules-config-path", "--verify", "PROFILE", "A")
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "profile": (
        *("--model", "--prompt", "--prompts-file", "--negative-prompt", "--steps", "--timesteps"),
        *(
            "--guidance-scale",
            "--height",
            "--width",
            "--device",
            "--quant-type",
            "--draws",
            "--cut",
        ),
        *("--max-minutes", "--seeds", "--output", "--verify", "--display"),
    ),
    "select": (
        *("PROFILE", "--top-percentage", "--flops-share", "--time-share", "--saved-share"),
        *("--max-loss", "--keep-steps", "--keep-first-steps", "--quant-type", "--output"),
    ),
    "bench": (
        *("--compiler", "--compiler-config", "--quantize-config", "--keep-steps", "--rows"),
        *("--quant-submodules-config-path", "--memory-budget", "--json", "--repeats", "--seed"),
    ),
    "compare": ("A", "--layer", "--quant-submodules-config-path", "--top-percentage", "--output"),
    "export": ("PROFILE", "--format", "--exact-at", "--dtype", "--model", "--output"),
    "generate": (
        *("--scheduler", "--extra-call-kwargs", "--compiler-config", "--quantize-config"),
        *("--output-image", "--variant", "--seed", "--batch", "--prompt"),
    ),
    "report": ("PROFILE", "--format", "--output"),
    "attach": ("PROFILE", "--display"),
    "logs": ("PROFILE",),
    "delete": ("PROFILE",),
    "cache": ("A", "--device"),
}
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "select": ("adjoint.json",),
    "export": ("adjoint.json", "--format", "onediff"),
    "report": ("adjoint.json",),
    "attach": ("last",),
}
_DETACHED: Final = ("profile", "bench", "compare")
_WORDS: Final = (
    *("", " ", "-", "--", "-1", "0", "1e999", "nan", "inf", "-0", "1e-400", "9" * 400, "0x10"),
    *("\u0661", "1_000", "1,2", "..", "/", "/dev/null", "/dev/full", "~", "~nobody/x", "last"),
    *("a\udcffb", "\udcff\udcfe", "\x1b[2J", "\u202e", "\ufeff", "é" * 200),
    *("\udcff", "x\udcc3.json", "\udcfe\udcff" * 3, "[/INST] x", "[bold", "x[/v2].json"),
    *("[red]", "[/]", "%s%n", "{0}", "${HOME}", "$(id)", "`id`", ";", "'", '"', "\\", "\n", "\r\n"),
    *("{}", "[]", "null", "true", '{"a":', '{"quant_type": 1}', '{"quant_type": "x"}', "[" * 5000),
    *('{"mode": "a:b:c"}', '{"guidance_scale": "x"}', '{"mode": []}', '{"top_percentage": 1e999}'),
    *("fp8_e4m3_e4m3_dynamic", "all", "int8_dynamic", "cpu", "cuda:99", "cuda:-1", "meta", "mps"),
    *("a" * 300, "a/" * 2000, "x.json", "x.png", "x.html", "1-", "3-1", "1-99999999", "9-13,20"),
)

_TEXTS: Final = ("\udcff", "x\udcc3.json", "a\udcffb.png", "[/INST] x", "[bold", "x[/v2].json")
"""What names and prompts may hold; numbers are refused before any of it matters."""


def _cases(_references: References) -> list[Case]:
    return [Case("fuzz", _fuzz) for _ in range(_TRIES)]


def _fuzz(one: Try) -> None:
    """One or two options with odd values, or files with odd content."""
    command = one.random.choice((*_OPTIONS, *_DETACHED, *_DETACHED, "generate"))
    shutil.copytree(one.references["adjoint"].out, one.out, dirs_exist_ok=True)
    one.copy_of_run("adjoint")
    count = len(_OPTIONS[command])
    named: list[str] = []
    arguments = [command, *(("load",) if command == "cache" else ())]
    for option in one.random.sample(_OPTIONS[command], one.random.choice((1, 1, min(2, count)))):
        value = _odd_file(one) if option in _FILES and one.random.random() < 0.6 else _word(one)
        named += [value] if option.isupper() else [option, value]
    # Without what a command needs at least, it would look at nothing else.
    arguments += () if named[0][:2] != "--" else _NEEDED.get(command, ())
    arguments += named
    if command in _DETACHED:
        arguments += ["--detach"]
        arguments += [] if "--model" in arguments else ["--model", MODEL]
    if command == "generate":
        arguments += ["--model", MODEL, "--steps", "1", "--warmups", "0"]
    one.what = " ".join(map(repr, arguments))[:200]
    one.command(*arguments, limit_s=60.0)
    for pid, _ in processes_of(one.place):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _word(one: Try) -> str:
    word = one.random.choice(_WORDS if one.random.random() < 0.6 else _TEXTS)
    if one.random.random() < 0.2:
        word += one.random.choice(_WORDS)[:100]
    return word


def _odd_file(one: Try) -> str:
    change: Callable[[Random, bytes], bytes] = one.random.choice(_CHANGES)
    good = (one.out / "adjoint.json").read_bytes()
    path = one.out / one.random.choice(("odd.json", "odd.png", "odd.txt", "adjoint.meta.json"))
    path.write_bytes(change(one.random, good))
    return "adjoint.json" if path.name == "adjoint.meta.json" else str(path)


def _spoilt(random: Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(random.randint(1, 8)):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def _another_value(random: Random, good: bytes) -> bytes:
    said = json.loads(good)
    name = random.choice(list(said))
    values: tuple[object, ...] = (
        None,
        [],
        {},
        "x",
        -1,
        1e308,
        True,
        {"ssim": "x"},
        {"ssim": 7},
        {"ssim": None},
    )
    said[name] = random.choice(values)
    return json.dumps(said).encode()


_CHANGES: Final[tuple[Callable[[Random, bytes], bytes], ...]] = (
    _spoilt,
    _another_value,
    lambda random, good: good[: random.randrange(len(good))],
    lambda random, _: random.randbytes(random.randrange(2000)),
    lambda _, good: b"\xef\xbb\xbf" + good,
    lambda _, good: good.decode().encode("utf-16"),
    lambda *_: b"",
    lambda *_: bytes(100_000),
    lambda *_: b"[" * 100_000,
    lambda *_: b'{"a": 1, "a": 2}',
    lambda *_: b"\n".join(b"# comment" for _ in range(1000)),
    lambda *_: "\u202e\x1b[2J[/x]\n".encode() * 20,
)


PARTS: Final = (Part("fuzz", "fuzzed options and files", ("adjoint",), _cases),)
