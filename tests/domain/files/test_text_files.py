"""Text files as people have them: marks, encodings, line ends, and standard input."""

from __future__ import annotations

import codecs
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import layer_file
from pixart_tui.domain.files.text_files import read_prompts, read_text

_PROMPTS = ("a red äpple", "blue star")
_FILE = "# fruit\r\na red äpple\r\n\r\n  # more\r\n  blue star \r\n"
_MARKED = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@pytest.mark.parametrize("encoding", _MARKED)
def test_a_mark_is_no_part_of_the_first_prompt(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(_MARKED[encoding] + _FILE.encode(encoding))

    assert read_prompts(file) == _PROMPTS


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end(end: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(end.join(["# no prompt", *_PROMPTS]).encode())

    assert read_prompts(file) == _PROMPTS


def test_a_form_feed_is_no_line_end(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("one\x0cprompt\u2028only\n", encoding="utf-8")

    assert read_prompts(file) == ("one\x0cprompt\u2028only",)


def test_files_that_were_put_together(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(codecs.BOM_UTF8 + b"one\n" + codecs.BOM_UTF8 + b"# none\n" + b"two\n")

    assert read_prompts(file) == ("one", "two")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(codecs.BOM_UTF8 + _FILE.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)

    assert read_prompts(Path("-")) == _PROMPTS
    with pytest.raises(RequestError, match="standard input holds no prompt"):
        read_prompts(Path("-"))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("first\ncafé\n".encode("latin-1"), "line 2 holds the byte 0xe9"),
        ("りんご\n".encode("shift-jis"), "line 1 holds the byte 0x82"),
        ("apple\n".encode("utf-16-le"), "zero bytes"),
        (codecs.BOM_UTF16_LE + b"odd", "the mark of UTF-16"),
        (b"\x7fELF\0\1\2", "zero bytes"),
    ],
)
def test_other_encodings_are_told(content: bytes, cause: str, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(content)

    with pytest.raises(RequestError) as refused:
        read_prompts(file)

    assert refused.value.title == f"{file} cannot be read as text in UTF-8"
    assert cause in refused.value.cause
    assert "iconv" in refused.value.next_step


def test_a_file_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refused:
        read_text(tmp_path / "none.json", "make one")

    assert (refused.value.cause, refused.value.next_step) == (
        "No such file or directory",
        "make one",
    )


@pytest.mark.parametrize("encoding", _MARKED)
def test_a_layer_file_may_have_a_mark(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "layers.json"
    file.write_bytes(_MARKED[encoding] + '{"proj_out": {"ssim": 0.5}}'.encode(encoding))

    assert layer_file.read(file).ssim_by_fqn == {"proj_out": 0.5}
