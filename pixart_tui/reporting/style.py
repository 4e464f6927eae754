"""The look of a report: light and dark, from a phone to a wide screen."""

from __future__ import annotations

from typing import Final

_LIGHT: Final = {
    9: ("#f1f5f9", "#334155"),
    8: ("#e6eef5", "#334155"),
    7: ("#d5e6ee", "#1e293b"),
    6: ("#b9dbe0", "#1e293b"),
    5: ("#93c9c4", "#0f2b2a"),
    4: ("#f3d58a", "#3b2a00"),
    3: ("#eda55d", "#3b1d00"),
    2: ("#d65f3c", "#ffffff"),
    1: ("#9c2233", "#ffffff"),
}
_DARK: Final = {
    9: ("#1b2430", "#9fb0c3"),
    8: ("#1e2c3a", "#a9bccf"),
    7: ("#213746", "#b8cbd8"),
    6: ("#24484f", "#cfe3e5"),
    5: ("#2a5f5c", "#e0f2ef"),
    4: ("#8a6a1f", "#fff3d1"),
    3: ("#a65f22", "#fff0e0"),
    2: ("#c4502f", "#ffffff"),
    1: ("#e0485c", "#1a0508"),
}


def _levels(colors: dict[int, tuple[str, str]]) -> str:
    return "".join(f".d{n}{{background:{a};color:{b}}}" for n, (a, b) in colors.items())


STYLE: Final = (
    """
:root{--back:#fff;--ink:#1b2430;--dim:#5b6876;--line:#d8dee6;--ours:#b3501e;--seed:#4a6a8a}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2.25rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.25rem 0 .5rem;overflow-wrap:anywhere}
p,li,figcaption,caption{color:var(--dim);font-size:.9rem}
ul{padding-left:1.2rem}
.wide{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.25rem 0}
.figures{width:100%;font-size:.9rem}
.figures th,.figures td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;
vertical-align:top}
.figures td{white-space:nowrap}
.figures thead th{color:var(--dim);font-weight:600}
.figures th.name{text-align:left;font-weight:500}
.figures thead th.name{font-weight:600}
.figures small{color:var(--dim);display:block}
.maps{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;align-items:flex-start}
.heat td{width:2.2rem;height:1.9rem;text-align:center;border:2px solid var(--back);
font-weight:600;font-size:.85rem}
.heat th{font-weight:500;font-size:.8rem;color:var(--dim);text-align:right;padding:.1rem .5rem}
.heat tbody th{overflow-wrap:anywhere}
.heat thead th{vertical-align:bottom;padding:.1rem}
.heat thead span{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap}
.heat .none{color:var(--dim)}
figure{margin:0}
svg{width:100%;max-width:46rem;height:auto;font:13px system-ui,sans-serif}
svg text{fill:var(--dim)}
svg .grid{stroke:var(--line)}
svg polyline{fill:none;stroke-width:2.5}
svg polyline.ours{stroke:var(--ours)}svg g.ours{fill:var(--ours)}
svg polyline.seed{stroke:var(--seed);stroke-dasharray:6 5}svg g.seed{fill:var(--seed)}
summary{cursor:pointer;padding:.5rem 0;color:var(--dim)}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:1rem}
.pictures img{width:100%;height:auto;display:block;border-radius:4px}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.3rem 1rem;font-size:.9rem}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:40rem){
main{padding:1rem .75rem 2rem}
.heat td{width:1.75rem;height:1.75rem;font-size:.8rem;border-width:1px}
svg{font-size:18px}
.figures{font-size:.8rem}
.figures th,.figures td{padding:.2rem .3rem}
.to{display:block}
dl{grid-template-columns:1fr}dt{margin-top:.5rem;font-size:.8rem}
}
"""
    + _levels(_LIGHT)
    + "@media (prefers-color-scheme:dark){:root{--back:#12171f;--ink:#e4eaf1;--dim:#a3b0bf;"
    + "--line:#2c3744;--ours:#f0955a;--seed:#8fb4d9}"
    + _levels(_DARK)
    + "}"
)
