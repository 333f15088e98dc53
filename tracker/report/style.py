"""The page's style: one sheet, light and dark as the reader set it, one column on a phone. No outside resource."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ink:#15202b;--paper:#f5f7fa;--card:#fff;--soft:#5c6b7a;--line:#e3e8ee;--accent:#2f7ed8;
--good:#14a37f;--warn:#d98a00;--bad:#d64545;--tint:#2f7ed814}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf2;--paper:#0f151b;--card:#182129;--soft:#93a3b3;--line:#2a3641;
--accent:#5aa2f0;--tint:#5aa2f01f}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1180px;margin:0 auto;padding:1.2rem 1rem 3rem}
h1{font-size:1.75rem;line-height:1.2;margin:.2em 0;letter-spacing:-.02em}
h2{font-size:1.15rem;margin:0 0 .1em}
p,figcaption{color:var(--soft);margin:.2em 0 .8em;font-size:.92rem}figure{margin:0}figcaption{margin:.6em 0 0}
section,.fact{background:var(--card);border:1px solid var(--line);border-radius:12px}
section{padding:1.1rem 1.2rem;margin-top:1rem;min-width:0}
.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:.8rem;margin:1.1rem 0 0}
.fact{padding:.8rem 1rem}.fact b{display:block;font-size:1.5rem;letter-spacing:-.02em;line-height:1.25}
.fact span{color:var(--soft);font-size:.82rem}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
svg{width:100%;height:auto;display:block;font-size:13px;margin-top:.4rem}
.map svg{font-size:8.5px}svg text{fill:var(--soft)}svg .end{font-weight:600}svg .unit{font-size:12px}
.grid{stroke:var(--line)}.cell{fill:var(--accent)}
.key{display:flex;flex-wrap:wrap;gap:.3rem .9rem;font-size:.85rem;margin-top:.5rem}
.key i{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.4em}
.scroll{overflow-x:auto}code{white-space:nowrap;background:var(--tint);padding:.1em .35em;border-radius:4px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th{color:var(--soft);font-weight:500;font-size:.8rem}
th,td{padding:.42em .6em;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
tbody tr:last-child td{border-bottom:0}tbody tr:hover{background:var(--tint)}
th:nth-child(2),td:nth-child(2){text-align:left}td:nth-child(2){font-weight:600}
.bar{display:block;height:.5em;border-radius:3px;background:var(--accent);min-width:2px}td.wide{width:22%}
summary{cursor:pointer;color:var(--accent);padding:.7em 0 .2em;font-size:.92rem}
.badge{font-size:.76rem;padding:.12em .55em;border-radius:99px;background:var(--tint);color:var(--soft)}
.badge.exact{color:var(--good)}
.seats{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:.8rem;margin-top:.6rem}
.seat{border:1px solid var(--line);border-left:5px solid var(--good);border-radius:10px;padding:.8rem 1rem}
.seat.soon{border-left-color:var(--warn)}.seat.next{border-left-color:var(--bad)}
.seat b{font-size:1.3rem;letter-spacing:-.02em}.seat .who{color:var(--soft);font-size:.85rem}
.seat .meter{height:.45em;border-radius:3px;background:var(--line);margin:.5em 0 .6em}
.seat .meter i{display:block;height:100%;border-radius:3px;background:var(--good)}
.seat.soon .meter i{background:var(--warn)}.seat.next .meter i{background:var(--bad)}
dl{display:grid;grid-template-columns:auto auto;gap:.1rem .8rem;margin:0;font-size:.88rem}
dt{color:var(--soft)}dd{margin:0;text-align:right;font-variant-numeric:tabular-nums}
.warn{border-left:5px solid var(--warn);background:var(--card);border-radius:8px;padding:.7em 1em;color:var(--ink);
margin:1rem 0 0}
@media(max-width:760px){.pair{grid-template-columns:1fr;gap:0}.facts{grid-template-columns:1fr 1fr;gap:.6rem}}
@media(max-width:600px){main{padding:.8rem .7rem 2rem}h1{font-size:1.4rem}section{padding:.9rem .8rem}
.more{display:none}
.seats{grid-template-columns:1fr}svg,.map svg{font-size:19px}svg .unit{font-size:18px}svg .end{font-size:16px}
.key{display:grid;grid-template-columns:1fr 1fr}
th,td{padding:.42em .3em}td.wide{min-width:56px}
.fact b{font-size:1.25rem}}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
