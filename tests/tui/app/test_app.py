from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from textual import events
from textual.widgets import ContentSwitcher

from pixart_tui.domain.errors import RequestError
from pixart_tui.tui.app.app import PANES, DashboardApp
from pixart_tui.tui.app.commands import COMMANDS
from pixart_tui.tui.app.keymap import named_bindings
from pixart_tui.tui.app.running import run_dashboard
from pixart_tui.tui.dialogs.help import HelpScreen
from pixart_tui.tui.dialogs.help_texts import KEYS, TEXTS
from pixart_tui.tui.state import watch as watch_module
from pixart_tui.tui.tabs.runs.pane import RunsPane
from pixart_tui.tui.tabs.select.pane import SelectPane
from pixart_tui.tui.widgets.scroll_body import ScrollBody
from pixart_tui.tui.widgets.tab_strip import TABS, TabStrip
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, screen_text, until, until_shown


async def test_number_and_tab_keys_go_through_the_tabs(tmp_path: Path) -> None:
    app = dashboard()
    async with app.run_test() as pilot:
        seen = []
        for key in ("2", "tab", "tab", "tab", "tab", "shift+tab", "1"):
            await pilot.press(key)
            seen.append(app.query_one(ContentSwitcher).current)

    assert seen == ["profile", "select", "bench", "compare", "log", "compare", "runs"]


async def test_a_click_on_the_strip_opens_a_tab(tmp_path: Path) -> None:
    app = dashboard()
    async with app.run_test() as pilot:
        await until_shown(pilot, "No runs yet")
        await pilot.click("TabStrip", offset=(12, 0))
        assert app.query_one(ContentSwitcher).current == "profile"


async def test_the_strip_tells_how_the_open_runs_do_on_every_tab(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    sample_runs.bench(tmp_path)

    async with dashboard().run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "profile ▶ 34/85   bench ▶ 2/4")
        await pilot.resize_terminal(80, 24)
        await until_shown(pilot, "profile ▶ bench ▶")


async def test_the_strip_is_drawn_for_the_size_that_the_terminal_has_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the next reading draws it again."""
    sample_runs.running_profile(tmp_path)
    app = dashboard()
    async with app.run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "profile ▶ 34/85")
        monkeypatch.setattr(app, "_reading", True)
        for width in (119, 81, 80, 120):
            await pilot.resize_terminal(width, 36)
            assert cell_len(app.query_one(TabStrip).text.rstrip()) == width - 1


@pytest.mark.parametrize("tab", [tab for tab, _ in TABS])
async def test_help_explains_every_tab_within_80_columns(tmp_path: Path, tab: str) -> None:
    sample_runs.running_profile(tmp_path)
    app = dashboard()
    async with app.run_test() as pilot:
        await until_shown(pilot, "34/85")
        app.show_tab(tab)
        await pilot.pause()
        offered = {found.binding.id for found in app.active_bindings.values() if found.enabled}
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        text = app.screen.query_one(ScrollBody).text
        await pilot.press("2")
        assert app.tab == tab
        await pilot.press("q")
        await until(pilot, lambda: not isinstance(app.screen, HelpScreen))

    keys = named_bindings([kind for kind in PANES if kind.__name__.lower() == f"{tab}pane"])
    assert offered >= {"help", "leave"}
    for name in keys.keys() & offered:
        assert KEYS.get(name, keys[name][0].description) in text
    for word in (*TEXTS[tab].splitlines(), "stale", "attach RUN"):
        assert word in text
    assert max(map(cell_len, text.splitlines())) <= 75


async def test_q_leaves(tmp_path: Path) -> None:
    app = dashboard()
    async with app.run_test() as pilot:
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    assert app.return_code == 0


async def test_the_palette_has_every_tab_and_action(tmp_path: Path) -> None:
    app = dashboard()
    async with app.run_test() as pilot:
        await until_shown(pilot, "No runs yet")
        await pilot.press("ctrl+p")
        await pilot.press(*"Benchmark")
        await until(pilot, lambda: "Benchmark selection" in "\n".join(screen_text(app)))
        await pilot.press("escape")
        titles = [command.title for command in app.get_system_commands(app.screen)]

    assert {title for title, _, _ in COMMANDS} <= set(titles)


async def test_a_command_of_the_palette_acts(tmp_path: Path) -> None:
    app = dashboard()
    async with app.run_test() as pilot:
        await until_shown(pilot, "No runs yet")
        await pilot.press("ctrl+p")
        await pilot.press(*"Next rule")
        await until(pilot, lambda: "Take the next rule" in "\n".join(screen_text(app)))
        await pilot.press("enter")
        await until(pilot, lambda: app.query_one(SelectPane).rule_setting.rule == "flops-share")
        assert app.query_one(ContentSwitcher).current == "select"


@pytest.mark.parametrize("size", [(79, 24), (80, 23), (30, 5)])
async def test_a_terminal_that_is_too_small_is_told_what_is_needed(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    app = dashboard()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "80x24" in "\n".join(screen_text(app)))
        await pilot.resize_terminal(80, 24)
        await until_shown(pilot, "No runs yet")


async def test_after_it_was_too_small_the_keys_of_the_tab_work_again(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)
    app = dashboard(sample_runs.PROFILE_ID)
    async with app.run_test() as pilot:
        await until_shown(pilot, "85 of 85 layers", "0.attn2.to_v")
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: app.focused is None)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: app.focused is not None)
        await pilot.press("enter")
        await until(pilot, lambda: app.query_one("#profile").has_class("-detail"))


async def test_there_is_a_dark_and_a_light_theme(tmp_path: Path) -> None:
    app = dashboard()
    async with app.run_test():
        assert app.current_theme.dark
        await app.run_action("switch_theme")
        assert not app.current_theme.dark


async def test_runs_that_cannot_be_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXART_TUI_RUNS", str(tmp_path / ("x" * 300)))

    async with dashboard().run_test() as pilot:
        await until_shown(pilot, "the runs cannot be read")


async def test_a_run_that_is_not_there_opens_the_list(tmp_path: Path) -> None:
    async with dashboard("nothere").run_test() as pilot:
        await until_shown(pilot, "No runs yet")


def test_a_screen_that_goes_to_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="standard error"):
        run_dashboard()


async def test_characters_that_come_along_with_the_key_that_opens_a_line_go_into_it(
    tmp_path: Path,
) -> None:
    sample_runs.finished_profile(tmp_path)
    app = dashboard(sample_runs.PROFILE_ID)
    async with app.run_test() as pilot:
        await until_shown(pilot, "85 of 85 layers", "0.attn2.to_v")
        for key, character in (("slash", "/"), ("n", "n"), ("e", "e"), ("t", "t"), ("enter", None)):
            app.post_message(events.Key(key, character))
        await until_shown(pilot, "/net")
        assert len(app.screen_stack) == 1


async def test_the_run_that_is_going_on_is_found_whatever_the_first_reading_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sample_runs.running_profile(tmp_path)
    monkeypatch.setattr(watch_module, "_NEW_RUNS_S", -1.0)
    app = dashboard(attach=True)

    async with app.run_test() as pilot:
        await until_shown(pilot, "Reading the runs")
        monkeypatch.setattr(watch_module, "_NEW_RUNS_S", 60.0)
        await until(pilot, lambda: app.tab == "profile")

        assert app.run_shown is not None
        assert app.run_shown.id == run.id


async def test_a_user_who_turned_to_a_tab_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sample_runs.running_profile(tmp_path)
    monkeypatch.setattr(watch_module, "_NEW_RUNS_S", -1.0)
    app = dashboard(attach=True)

    async with app.run_test() as pilot:
        await until_shown(pilot, "Reading the runs")
        await pilot.press("4")
        monkeypatch.setattr(watch_module, "_NEW_RUNS_S", 60.0)
        await until(pilot, lambda: run.id in _known(app))

        assert app.tab == "bench"


async def test_a_tab_that_was_not_seen_shows_the_newest_run_when_it_is_opened(
    tmp_path: Path,
) -> None:
    sample_runs.stale_profile(tmp_path)
    app = dashboard()

    async with app.run_test() as pilot:
        await until_shown(pilot, sample_runs.STALE_ID)
        newer = sample_runs.running_profile(tmp_path)
        await until_shown(pilot, newer.id)
        await pilot.press("2")
        await until(pilot, lambda: app.run_shown is not None and app.run_shown.id == newer.id)


async def test_the_run_that_is_seen_stays_when_a_newer_one_begins(tmp_path: Path) -> None:
    sample_runs.stale_profile(tmp_path)
    app = dashboard()

    async with app.run_test() as pilot:
        await until_shown(pilot, sample_runs.STALE_ID)
        await pilot.press("2")
        newer = sample_runs.running_profile(tmp_path)
        await until(pilot, lambda: newer.id in _known(app))

        assert app.run_shown is not None
        assert app.run_shown.id == sample_runs.STALE_ID


def _known(app: DashboardApp) -> list[str]:
    overview = app.query_one(RunsPane).overview
    return [run.id for run in overview.runs] if overview else []
