"""A report as one HTML file: nothing is fetched, nothing is run."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from html import escape as as_html

from pixart_tui.domain.plain_text import visible
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.domain.selecting.pareto import Curve
from pixart_tui.reporting.bench_table import BenchTable, split_change
from pixart_tui.reporting.content import (
    DECADE_LEGEND,
    Measured,
    Picture,
    Report,
    decade,
    headings,
    in_blocks,
    profile_notes,
    provenance,
    ranked_table,
    step_table,
    verification_lines,
)
from pixart_tui.reporting.curve_svg import curve_svg
from pixart_tui.reporting.style import STYLE

_OPEN_ROWS = 15
_NAME = ' class="name"'


def render_html(report: Report) -> str:
    """The whole file."""
    parts = [part for part in _sections(report) if part]
    title = escape(report.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{title}</h1>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """User text that stays text: no markup, and nothing that turns the direction of writing."""
    return as_html(visible(text))


def _sections(report: Report) -> Iterator[str]:
    if report.selection is not None and report.verification is not None:
        lines = verification_lines(report.selection, report.verification)
        yield _section("Verified selection", _list(lines))
    for heading, measured in headings(report, "Where the model is sensitive"):
        yield _section(heading, _heat_map(measured.profile))
    yield from _by_step(report)
    for heading, measured in headings(report, "What each share costs"):
        if measured.curve is not None:
            yield _section(heading, _curve(measured.curve))
    for heading, measured in headings(report, "Layers, most sensitive first"):
        yield _section(heading, _ranked(measured))
    if report.bench is not None:
        yield _section("Benchmark", _bench(report.bench) + _list(report.bench_notes))
    if report.pictures:
        yield _section("Images", "".join(_pictures(report.pictures)))
    yield _section("Where the figures come from", _facts(provenance(report)))


def _section(heading: str, body: str) -> str:
    return f"<section>\n<h2>{escape(heading)}</h2>\n{body}\n</section>"


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in pairs)
    return f"<dl>{rows}</dl>"


def _heat_map(profile: Profile) -> str:
    kinds, blocks, outside = in_blocks(profile)
    heads = "".join(f'<th scope="col"><span>{escape(kind)}</span></th>' for kind in kinds)
    rows = "".join(
        f'<tr><th scope="row">{block}</th>'
        + "".join(_cell(found.get(kind)) for kind in kinds)
        + "</tr>"
        for block, found in blocks.items()
    )
    others = "".join(
        f'<tr><th scope="row">{escape(score.layer.fqn)}</th>{_cell(score)}</tr>'
        for score in outside
    )
    return (
        f"<p>{escape(DECADE_LEGEND)}</p>\n<div class='maps'>"
        "<div class='wide' tabindex='0'><table class='heat'><caption>By block and layer</caption>"
        f"<thead><tr><th scope='col'>block</th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        "</div>"
        "<div class='wide' tabindex='0'><table class='heat'><caption>Outside the blocks</caption>"
        "<thead><tr><th scope='col'>layer</th><th scope='col'>level</th></tr></thead>"
        f"<tbody>{others}</tbody></table></div></div>"
    )


def _cell(score: LayerScore | None) -> str:
    level = decade(score)
    if score is None:
        return "<td></td>"
    loss = score.reason or score.status if score.loss is None else f"1-SSIM {score.loss:.1e}"
    kind = f"d{level}" if level.isdecimal() else "none"
    return f'<td class="{kind}" title="{escape(f"{score.layer.fqn}: {loss}")}">{level}</td>'


def _by_step(report: Report) -> Iterator[str]:
    for heading, measured in headings(report, "Effect by step"):
        if measured.steps is not None:
            columns, rows = step_table(measured.profile, measured.steps)
            words = f"<p>{escape(measured.steps.summary)}</p>"
            yield _section(heading, f"{words}\n{_table(columns, rows, names=1)}")


def _curve(curve: Curve) -> str:
    note = "Predicted from single layers; select --verify measures a selection as a whole."
    points = [("selected", p) for p in curve.ours]
    points += [("OneDiff's rule", p) for p in curve.onediff_rule]
    rows = [(n, f"{p.share:.1%}", str(p.layers), f"{p.predicted:.2e}") for n, p in points]
    table = _table(("", "share", "layers", "1-SSIM"), rows, names=1)
    return (
        f"<figure>{curve_svg(curve)}<figcaption>{note}</figcaption></figure>"
        f"<details><summary>The curve as a table</summary>{table}</details>"
    )


def _ranked(measured: Measured) -> str:
    columns, rows = ranked_table(measured.profile)
    body = _table(columns, rows[:_OPEN_ROWS], names=2)
    if len(rows) > _OPEN_ROWS:
        rest = _table(columns, rows[_OPEN_ROWS:], names=2)
        words = f"{len(rows) - _OPEN_ROWS} less sensitive layers"
        body += f"<details><summary>{words}</summary>{rest}</details>"
    return body + _list(profile_notes(measured))


def _bench(found: BenchTable) -> str:
    rows = [(label, *cells) for label, cells in found.lines]
    return _table((found.corner, *found.columns), rows, names=1)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, names: int) -> str:
    """A table; the first ``names`` columns are text, the others figures.

    The last of those names the row.
    """
    head = "".join(
        f'<th scope="col"{_NAME if place == names - 1 else ""}>{escape(heading)}</th>'
        for place, heading in enumerate(headings)
    )
    body = "".join(f"<tr>{''.join(_cells(row, names))}</tr>" for row in rows)
    return (
        "<div class='wide' tabindex='0'><table class='figures'>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[str], names: int) -> Iterator[str]:
    for place, cell in enumerate(row):
        if place == names - 1:
            yield f'<th scope="row"{_NAME}>{_breakable(cell)}</th>'
            continue
        figure, change = split_change(cell)
        low, to, high = figure.partition(" to ")
        end = f' <span class="to">to {escape(high)}</span>' if to else ""
        small = f" <small>{escape(change)}</small>" if change else ""
        yield f"<td>{escape(low)}{end}{small}</td>"


def _breakable(name: str) -> str:
    """A layer's name that may break after its dots, on a phone."""
    return escape(name).replace(".", ".<wbr>")


def _pictures(pictures: Sequence[Picture]) -> Iterator[str]:
    """Those of one prompt and seed side by side, in the order in which the first was made."""
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(_made_of(picture), []).append(picture)
    if all(len(found) == 1 for found in groups.values()):
        figures = "".join(
            _figure(picture, f"{words}: {picture.caption}") for words, (picture,) in groups.items()
        )
        yield f"<div class='pictures'>{figures}</div>"
        return
    for words, found in groups.items():
        figures = "".join(_figure(picture, picture.caption, words) for picture in found)
        yield f"<h3>{escape(words)}</h3><div class='pictures'>{figures}</div>"


def _made_of(picture: Picture) -> str:
    """Prompt and seed in words."""
    return picture.prompt if picture.seed is None else f"{picture.prompt}, seed {picture.seed}"


def _figure(picture: Picture, caption: str, words: str = "") -> str:
    data = base64.b64encode(picture.data).decode("ascii")
    alt = f"{caption}: {words}" if words else caption
    return (
        f'<figure><img alt="{escape(alt)}" src="data:{picture.media_type};base64,{data}">'
        f"<figcaption>{_breakable(caption)}</figcaption></figure>"
    )
