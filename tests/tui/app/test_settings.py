"""The configuration file, and keys of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import ContentSwitcher

from pixart_tui.cli.display.dashboard import settings_of
from pixart_tui.domain.errors import RequestError
from pixart_tui.tui.app.app import PANES, DashboardApp
from pixart_tui.tui.app.keymap import named_bindings
from pixart_tui.tui.app.settings import Display, Settings, read_settings, settings_path
from pixart_tui.tui.dialogs.help import HelpScreen
from pixart_tui.tui.widgets.cursor_view import CursorView
from pixart_tui.tui.widgets.scroll_body import ScrollBody
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, screen_text, until, until_shown

_NO_IDS = {"ctrl+c"}


def test_without_a_file_everything_is_as_usual() -> None:
    assert read_settings(settings_path()) == Settings()


def test_a_file_says_it_all_and_options_go_in_front() -> None:
    settings_path().write_text(
        '[display]\ntheme = "light"\nimages = "none"\nascii = true\nmouse = false\n'
        '[keys]\nleave = "x"\nnew_run = "ctrl+n, f2"\n'
    )

    settings = settings_of({"theme": "ansi-dark", "mouse": True, "ascii": None, "images": None})

    assert settings.display == Display(theme="ansi-dark", images="none", ascii=True, mouse=True)
    assert settings.keys == {"leave": "x", "new_run": "ctrl+n, f2"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[display\n", "line 1"),
        ("\x00", "cannot be read"),
        ('theme = "dark"\n', "theme: unknown setting"),
        ('[display]\ncolor = "red"\n', "display.color: unknown setting"),
        ('[display]\ntheme = "pink"\n', "display.theme"),
        ("[display]\nascii = 1\n", "display.ascii"),
        ("[keys]\nleave = 3\n", "keys.leave"),
        ('[keys]\nlaeve = "x"\n', 'knows no "laeve"'),
        ('[keys]\n"" = "x"\n', 'knows no ""'),
        ('[keys]\nleave = "ctrl+"\n', "is no key"),
        ('[keys]\nleave = "control-x"\n', "is no key"),
        ('[keys]\nleave = ""\n', "is no key"),
        ('[keys]\nleave = "n"\n', '"n" would be both'),
        ('[keys]\nsave_selection = "b"\n', "both save_selection and bench_selection"),
        ('[keys]\nopen_run = "up"\n', "would be both"),
        ('[keys]\nnew_run = "x"\nhelp = "x"\n', '"x" would be both'),
    ],
)
def test_what_cannot_be_obeyed_is_refused_in_few_lines(text: str, said: str) -> None:
    settings_path().write_text(text)

    with pytest.raises(RequestError) as refused:
        settings_of({})

    lines = refused.value.lines()
    assert said in "\n".join(lines)
    assert str(settings_path()) in lines[0]
    assert len(lines) <= 5
    assert refused.value.exit_code == 2


def test_a_file_that_cannot_be_read_is_refused() -> None:
    settings_path().mkdir()
    with pytest.raises(RequestError, match="cannot be read"):
        settings_of({})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_it(encoding: str) -> None:
    settings_path().write_text('[display]\ntheme = "light"\n', encoding=encoding)

    assert settings_of({}).display.theme == "light"


def test_another_encoding_is_told() -> None:
    settings_path().write_bytes(b"[display]\n# caf\xe9\n")

    with pytest.raises(RequestError, match="cannot be read as text in UTF-8") as refused:
        settings_of({})

    assert refused.value.cause == "line 2 holds the byte 0xe9, which is no UTF-8"


def test_the_same_key_on_two_tabs_is_no_clash() -> None:
    DashboardApp.check_keys({"save_selection": "o", "search_log": "o"}, "here")


def test_two_keys_may_change_places() -> None:
    DashboardApp.check_keys({"save_selection": "b", "bench_selection": "s"}, "here")


def test_signs_are_keys() -> None:
    DashboardApp.check_keys({"help": "?,f1,question_mark", "leave": "comma", "up": "k"}, "here")


def test_every_key_can_be_changed_by_a_name_of_its_own() -> None:
    everywhere = named_bindings((DashboardApp, CursorView, ScrollBody))
    for pane in PANES:
        here = named_bindings([pane])
        assert "" not in here, f"a binding of {pane.__name__} has no id"
        assert not here.keys() & everywhere.keys()
    assert {binding.key for binding in everywhere[""]} == _NO_IDS


async def test_another_key_does_it_and_the_usual_one_no_longer(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    settings = Settings(keys={"show_select": "f3", "help": "f1", "down": "j,down", "leave": "x"})
    app = dashboard(settings=settings)

    async with app.run_test() as pilot:
        await until_shown(pilot, "34/85")
        await pilot.press("3", "q", "question_mark")
        assert app.query_one(ContentSwitcher).current == "runs"
        await pilot.press("f3")
        await until(pilot, lambda: app.query_one(ContentSwitcher).current == "select")
        footer = screen_text(app)[-1]
        assert "f1 Help" in footer
        assert "x Leave" in footer
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        text = app.screen.query_one(ScrollBody).text
        await pilot.press("escape", "x")
        await until(pilot, lambda: not app.is_running)

    assert any(row.split()[0] == "x" and "leave" in row for row in text.splitlines() if row.strip())


async def test_moving_keys_can_be_changed(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    sample_runs.stale_profile(tmp_path)
    app = dashboard(settings=Settings(keys={"down": "j", "up": "k"}))

    async with app.run_test() as pilot:
        await until_shown(pilot, sample_runs.STALE_ID)
        await pilot.press("j")
        assert app.run_shown is not None
        assert app.run_shown.id == sample_runs.STALE_ID
        await pilot.press("k")
        assert app.run_shown is not None
        assert app.run_shown.id == sample_runs.PROFILE_ID


def test_every_name_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "dashboard.md").read_text(encoding="utf-8")
    names = named_bindings((DashboardApp, CursorView, ScrollBody, *PANES)).keys() - {""}
    tabs = {name for name in names if name.startswith("show_") and name != "show_curve"}

    assert not {name for name in names - tabs if f"`{name}`" not in text}
