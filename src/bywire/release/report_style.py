"""The look of the report, light and dark.

Blue and vermilion stay apart for every kind of colour vision; and nothing is said by colour alone: decisions also
differ in shape, the tolerance is dashed, a named segment carries a label.
"""

CSS = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #17202b; --soft: #56616e; --rule: #dfe3e8;
  --calm: #0b62b8; --calm-band: #0b62b826; --harm: #b93a04; --harm-band: #b93a0426; --wash: #fdf1ea; --limit: #7a5900;
  --weight: #8794a3; --weight-band: #8794a333; }
@media (prefers-color-scheme: dark) { :root { --page: #0f141a; --card: #171e26; --ink: #e8edf3; --soft: #a0acb9;
  --rule: #2c3641; --calm: #6bb5ff; --calm-band: #6bb5ff30; --harm: #ff9163; --harm-band: #ff916333; --wash: #2b1d16;
  --limit: #e3bd57; --weight: #75828f; --weight-band: #75828f3d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 36px 24px 56px; }
header p { margin: 0; color: var(--soft); }
h1 { margin: 2px 0 6px; font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; text-wrap: balance; }
h2 { margin: 36px 0 4px; font-size: 18px; }
.lead { margin: 0 0 12px; color: var(--soft); max-width: 110ch; }
code { font: 13px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.outcome { margin-top: 20px; padding: 16px 20px; background: var(--card); border: 1px solid var(--rule);
  border-left: 6px solid var(--calm); border-radius: 8px; }
.outcome.harm { border-left-color: var(--harm); }
.outcome p { margin: 6px 0 0; }
.outcome strong { display: block; font-size: 19px; }
.outcome.calm strong { color: var(--calm); } .outcome.harm strong { color: var(--harm); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 12px 0 0; }
.tiles div { padding: 12px 16px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
.tiles dt { color: var(--soft); font-size: 13px; } .tiles dd { margin: 0; font-size: 21px; font-weight: 600; }
figure { margin: 0; padding: 14px 16px 10px; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; }
figure.named { border: 2px solid var(--harm); padding: 13px 15px 9px; background: var(--wash); }
figcaption { display: flex; flex-wrap: wrap; gap: 0 12px; align-items: baseline; justify-content: space-between; }
figcaption b { font-size: 15px; } figcaption span { color: var(--soft); font-size: 13px; }
figcaption .flag { color: var(--harm); font-weight: 600; }
.wide { overflow-x: auto; } .wide svg { min-width: 660px; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(430px, 100%), 1fr)); gap: 14px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); stroke-width: 1; } .zero { stroke: var(--ink); stroke-width: 1.25; }
.limit { fill: none; stroke: var(--limit); stroke-width: 1.75; stroke-dasharray: 6 4; }
.step { stroke: var(--weight); stroke-width: 1; stroke-dasharray: 1 4; }
.exposure { fill: var(--weight-band); stroke: var(--weight); stroke-width: 1.75; }
.calm .band { fill: var(--calm-band); } .calm .line { stroke: var(--calm); } .calm .dot { fill: var(--calm); }
.harm .band { fill: var(--harm-band); } .harm .line { stroke: var(--harm); } .harm .dot { fill: var(--harm); }
.line { fill: none; stroke-width: 2.25; stroke-linejoin: round; stroke-linecap: round; }
.mark.promote { fill: var(--calm); } .mark.rollback { fill: var(--harm); }
.mark.hold { fill: var(--card); stroke: var(--soft); stroke-width: 1.75; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 0 0 12px; padding: 0; list-style: none;
  color: var(--soft); font-size: 13px; }
.legend svg { display: inline-block; width: 28px; height: 14px; margin-right: 6px; vertical-align: -2px; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
table { width: 100%; border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 12px; text-align: right; white-space: nowrap; border-top: 1px solid var(--rule);
  vertical-align: top; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; font-size: 13px; }
.word { text-align: left; } td.say { text-align: left; white-space: normal; min-width: 320px; }
tr.named { background: var(--wash); } tr.named th { color: var(--harm); } tbody th { font-weight: 600; }
table svg { display: inline-block; width: 14px; height: 14px; margin-right: 6px; vertical-align: -2px; }
footer { margin-top: 36px; color: var(--soft); font-size: 13px; max-width: 92ch; }
@media print { body { background: none; } figure, .scroll { break-inside: avoid; } }
"""
