"""The pure parts of the tabs: the rule_setting, the chart, the table's columns, the names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.domain.selecting.rules import RULES
from pixart_tui.reporting.bench_table import BenchTable, bench_table
from pixart_tui.tui.drawing.layer_names import shown_name
from pixart_tui.tui.drawing.lines import plain
from pixart_tui.tui.drawing.wording import age, duration
from pixart_tui.tui.tabs.bench.columns import groups_of
from pixart_tui.tui.tabs.profile.whiskers import Axis, whisker
from pixart_tui.tui.tabs.select.rule_setting import RuleSetting
from tests import samples
from tests.tui import sample_runs

losses = st.floats(1e-7, 0.5)


@given(st.lists(st.integers(-20, 20)), st.sampled_from(sorted(RULES)))
def test_a_setting_never_leaves_its_scale(moves: list[int], rule: str) -> None:
    rule_setting = next(d for d in _rule_settings() if d.rule == rule)
    for steps in moves:
        rule_setting = rule_setting.moved(steps)

    assert 0 <= rule_setting.fraction <= 1
    assert rule_setting.parameter >= 0
    if rule_setting.rule in ("flops-share", "time-share", "saved-share"):
        assert rule_setting.parameter <= 1


def test_the_rules_come_round() -> None:
    assert [rule_setting.rule for rule_setting in _rule_settings()] == list(RULES)
    assert _rule_settings()[-1].next_rule() == RuleSetting()


def test_the_rules_by_time_are_passed_over_where_nothing_was_timed() -> None:
    rule_settings = [rule_setting.next_rule(timed=False).rule for rule_setting in _rule_settings()]

    assert rule_settings == ["flops-share", "max-loss", "max-loss", "max-loss", "top-percentage"]


def test_losses_step_evenly_on_a_logarithmic_scale() -> None:
    rule_setting = RuleSetting().next_rule(timed=False).next_rule(timed=False)

    assert rule_setting.parameter == 0.01
    assert rule_setting.moved(12).parameter == 0.1
    assert rule_setting.moved(1).parameter == pytest.approx(0.012)


@given(losses, losses, losses, st.integers(5, 120))
def test_a_whisker_fits_and_shows_its_mean_within_its_interval(
    first: float, second: float, third: float, width: int
) -> None:
    low, mean, high = sorted((first, second, third))
    score = _score(low, mean, high)
    text = plain(whisker(score, Axis.over([score], [(1e-3, "│")]), width))

    assert len(text) == width
    assert text.count("●") == 1
    assert text.strip(" │").strip("─ │") == "●"


def test_reference_lines_stand_in_the_same_cell_of_every_row() -> None:
    scores = [_score(1e-6, 2e-6, 3e-6), _score(0.01, 0.02, 0.03)]
    axis = Axis.over(scores, [(1e-4, "│")])

    first, second = (plain(whisker(score, axis, 40)) for score in scores)
    assert first.index("│") == second.index("│")


def test_a_layer_that_changes_nothing_stands_at_the_left_end() -> None:
    scores = [_score(-1e-9, 0.0, 0.0), _score(0.01, 0.02, 0.03)]

    assert plain(whisker(scores[0], Axis.over(scores, []), 20)).startswith("●")


@given(st.integers(80, 300))
def test_every_case_of_a_table_is_shown_once_within_the_width(width: int) -> None:
    table = bench_table(sample_runs.bench_rows(4))
    groups = groups_of(table, width)

    assert [case for group in groups for case in group.cases] == [0, 1, 2, 3]
    for group in groups:
        assert 1 + group.layout.label + len(group.cases) * group.layout.column <= width


def test_a_table_of_six_cases_stands_in_two_parts_at_80_columns() -> None:
    rows = (*sample_runs.bench_rows(4), *sample_runs.bench_rows(4)[:2])

    assert [len(group.cases) for group in groups_of(bench_table(rows), 79)] == [4, 2]


def test_a_benchmark_without_rows_has_no_columns() -> None:
    assert groups_of(BenchTable((), ()), 79) == []


def test_titles_are_broken_where_words_end() -> None:
    groups = groups_of(bench_table(sample_runs.bench_rows(4)), 79)

    assert groups[0].titles[3] == ("compile+", "fp8_e4m3_", "e4m3_dynamic")


def test_names_are_shortened_only_where_it_is_narrow() -> None:
    fqn = "transformer_blocks.3.attn1.to_q"

    assert shown_name(fqn, 80) == "3.attn1.to_q"
    assert shown_name(fqn, 160) == fqn


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0, "0:00"), (41, "0:41"), (725, "12:05"), (3723, "1:02:03")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0s"), (12, "12s"), (300, "5m"), (10_800, "3h"), (180_000, "2d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def _rule_settings() -> list[RuleSetting]:
    rule_settings = [RuleSetting()]
    while len(rule_settings) < len(RULES):
        rule_settings.append(rule_settings[-1].next_rule())
    return rule_settings


def _score(low: float, mean: float, high: float) -> LayerScore:
    return LayerScore(
        layer=samples.layer("proj_out"),
        status=LayerStatus.MEASURED,
        samples=4,
        ssim=1 - mean,
        ssim_low=1 - high,
        ssim_high=1 - low,
    )
