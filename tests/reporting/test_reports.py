"""Reports as text: complete, escaped, and of one piece."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.profiles.measurements import Measurement
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.pareto import pareto_curve
from pixart_tui.domain.selecting.selection import select
from pixart_tui.domain.selecting.verification import (
    ImageSet,
    JointLoss,
    JointMeasurement,
    Verification,
)
from pixart_tui.reporting.bench_table import BenchTable
from pixart_tui.reporting.content import Measured, Picture, Report, decade
from pixart_tui.reporting.html import render_html
from pixart_tui.reporting.markdown import code, escaped, render_markdown
from pixart_tui.reporting.step_shares import StepShares
from tests.samples import QUANT_TYPE, conditions, layer, measurement, score

_EVIL = '<script src="https://example.org/x.js">alert(1)</script> | `x` & "y"'
_PNG = b"\x89PNG\r\n\x1a\nrest"
_VOID = {"meta", "wbr", "img", "line", "circle", "rect", "polyline"}


def _profile() -> Profile:
    names = ["transformer_blocks.0.attn1.to_q", "transformer_blocks.1.attn1.to_q", "proj_out"]
    prompts = (_EVIL, "robot")

    def one(fqn: str, loss: float, prompt: str) -> Measurement:
        return measurement(fqn, 1 - loss, prompt)

    losses = dict(zip(names, (3e-4, 2e-6, 4e-2), strict=True))
    return Profile(
        conditions=conditions().replace(prompts=prompts),
        layers=(*(layer(fqn) for fqn in names), layer("tiny")),
        excluded={"tiny": "K = 3"},
        measurements=tuple(one(fqn, x, p) for fqn, x in losses.items() for p in prompts),
    )


def _report(pictures: tuple[Picture, ...] = ()) -> Report:
    profile = _profile()
    return Report(
        title=f"model {_EVIL}",
        run="0a1b2c3d",
        command=f"pixart-tui profile --prompt '{_EVIL}'",
        machine=Machine(device="cpu", device_name="<CPU>", cpu_cores=2, memory_bytes=1, os="Linux"),
        versions={"torch": "2.13.0"},
        conditions=profile.conditions,
        measured=(Measured(profile, pareto_curve(candidates_of([profile]))),),
        bench=BenchTable(("none", "<b>"), (("iteration speed", ("1 it/s", "2 it/s (+100.0%)")),)),
        pictures=pictures,
    )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_is_well_formed_and_user_text_stays_text() -> None:
    reader = _read(render_html(_report((Picture(_EVIL, 0, _EVIL, _PNG),))))
    assert "script" not in {tag for tag, _ in reader.tags}
    assert reader.text.count(_EVIL) >= 3
    assert "4.0e-02" in reader.text
    assert "2 it/s" in reader.text


def test_nothing_is_fetched() -> None:
    html = render_html(_report((Picture("robot", 0, "baseline", _PNG),)))
    for tag, attributes in _read(html).tags:
        assert tag not in {"link", "script", "iframe", "object", "embed", "base"}
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style
    assert "url(" not in style.group(1)
    assert "@import" not in style.group(1)


def test_it_can_be_heard_and_read_in_the_dark() -> None:
    html = render_html(_report((Picture("robot", 0, "baseline", _PNG),)))
    reader = _read(html)
    assert "prefers-color-scheme:dark" in html
    assert "max-width:40rem" in html
    assert [a["alt"] for tag, a in reader.tags if tag == "img"] == ["robot, seed 0: baseline"]
    assert all(a.get("aria-label") for tag, a in reader.tags if tag == "svg")
    assert all(a.get("scope") in {"col", "row"} for tag, a in reader.tags if tag == "th")


def test_the_map_says_levels_by_digits_and_not_by_color_alone() -> None:
    html = render_html(_report())
    assert '<td class="d4" title="transformer_blocks.0.attn1.to_q: 1-SSIM 3.0e-04">4</td>' in html
    assert '<td class="none" title="tiny: K = 3">x</td>' in html


@pytest.mark.parametrize(("ssim", "level"), [(0.5, "1"), (0.99, "2"), (1.0, "9"), (None, "x")])
def test_a_level_is_the_decade_of_the_loss(ssim: float | None, level: str) -> None:
    assert decade(score("a", ssim)) == level


def test_pictures_of_one_prompt_stand_together() -> None:
    pictures = (
        Picture("apple", 0, "baseline", _PNG),
        Picture("robot", 0, "baseline", _PNG),
        Picture("apple", 0, "proj_out", _PNG),
    )
    html = render_html(_report(pictures))
    alts = [attributes["alt"] for tag, attributes in _read(html).tags if tag == "img"]
    assert alts == ["baseline: apple, seed 0", "proj_out: apple, seed 0", "baseline: robot, seed 0"]


def test_markdown_holds_the_same_and_escapes_user_text() -> None:
    text = render_markdown(_report())
    outside = "\n".join(x for x in text.splitlines() if not x.startswith("- command: "))
    assert "<script" not in outside.replace("\\<script", "")
    assert "| 1 | proj\\_out |" in text
    assert "| iteration speed | 1 it/s | 2 it/s (+100.0%) |" in text
    lines = [line for line in text.splitlines() if line.startswith("| ---")]
    assert len(lines) == 5


def test_a_command_stands_in_markdown_as_it_would_be_typed() -> None:
    command = "pixart-tui profile --prompt 'a `b` ``c`` <i>'"
    assert code(command) == f"``` {command} ```"


def test_escaped_text_is_one_line() -> None:
    assert escaped("a\n# b*c*") == "a \\# b\\*c\\*"


def test_a_verified_selection_stands_first_with_its_interval_and_its_budget() -> None:
    chosen = select(_profile().scores(), QUANT_TYPE, "top-percentage", 67)
    loss = JointLoss(loss=2e-3, low=1e-3, high=3e-3, psnr_db=40.0, images=16)
    found = Verification(
        fitting=ImageSet(prompts=("a",), seeds=(0,)),
        repairing=ImageSet(prompts=("b",), seeds=(1,)),
        reporting=ImageSet(prompts=("c",), seeds=(2,)),
        budget=1e-3,
        predicted=1e-3,
        repair=loss,
        verified=loss,
    )
    report = replace(_report(), selection=chosen, verification=found)
    for text in (_read(render_html(report)).text, render_markdown(report)):
        assert text.index("Verified selection") < text.index("Where the model is sensitive")
        assert "2.00e-03 (1.00e-03 to 3.00e-03)" in text
        assert "2 of 4 layers" in text
        assert "the budget of 0.001 does not hold" in text


def test_the_steps_of_a_verified_selection_are_told_and_its_predicted_interval() -> None:
    chosen = select(_profile().scores(), QUANT_TYPE, "top-percentage", 67)
    update = {
        "kept_steps": KeptSteps(numbers=(3, 9, 10)),
        "at_every_step": chosen.chosen[:1],
        "predicted_low": 5e-4,
        "predicted_high": 2e-3,
    }
    loss = JointLoss(loss=2e-3, low=1e-3, high=3e-3, psnr_db=40.0, images=16)
    every = JointMeasurement(
        purpose="every-step",
        label="every step",
        assignments={},
        predicted=1e-3,
        measured=loss.replace(loss=4e-3),
        elapsed_s=1.0,
    )
    images = ImageSet(prompts=("a",), seeds=(0,))
    found = Verification(
        fitting=images,
        repairing=images,
        reporting=images,
        predicted=1e-3,
        repair=loss,
        verified=loss,
        every_step=every,
    )
    report = replace(_report(), selection=chosen.replace(**update), verification=found)
    for text in (_read(render_html(report)).text, render_markdown(report)):
        assert "steps kept: number 3,9-10; 1 layer quantized there too" in text
        assert "predicted: 1.00e-03 (95% interval for other prompts 5.0e-04 - 2.0e-03)" in text
        assert "the same layers at every step: 4.00e-03" in text


def test_the_effect_by_step_stands_in_both_with_the_most_sensitive_layers() -> None:
    report = _report()
    names = [x.layer.fqn for x in report.measured[0].profile.scores()]
    steps = StepShares((0.25, 0.75), {names[0]: (0.5, 0.5), names[2]: (0.004, 0.996)})
    with_steps = replace(report, measured=(replace(report.measured[0], steps=steps),))
    html, text = render_html(with_steps), render_markdown(with_steps)
    assert "most at step 2 of 2 (75%)" in _read(html).text
    assert "| all layers | 25 | 75 |" in text
    assert "| proj\\_out | 0.4 | 100 |" in text
    assert "Effect by step" not in render_markdown(report)
    assert "Effect by step" not in render_html(report)
