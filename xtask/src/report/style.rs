//! How the report looks: wide and narrow, light and dark.

/// The style sheet.
pub(super) const CSS: &str = "
:root {
  color-scheme: light dark;
  --paper: #fafaf8; --card: #ffffff; --ink: #1c1d1f; --soft: #63666b; --line: #dedfe0;
  --full: #0b6bb0; --text: #b36a00; --image: #0a7d57; --right: #12703c; --wrong: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #151618; --card: #1f2124; --ink: #ececea; --soft: #a3a6ab; --line: #36393d;
    --full: #5fb2ef; --text: #e8a33d; --image: #4cc496; --right: #62c98c; --wrong: #f2857d;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, 'Segoe UI',
  'Noto Sans', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 2rem; line-height: 1.2; margin: 16px 0 8px; }
h2 { font-size: 1.3rem; margin: 40px 0 4px; }
p { max-width: 68ch; margin: 6px 0 14px; }
header p { font-size: 1.05rem; }
.note { border-left: 4px solid var(--wrong); padding: 4px 12px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); gap: 14px; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px;
  display: grid; grid-template-columns: 96px minmax(0, 1fr); gap: 4px 14px; align-content: start; }
article img, .blank { width: 96px; height: 96px; border-radius: 6px; display: block; }
.blank { border: 1px dashed var(--line); color: var(--soft); font-size: .8rem; display: grid; place-items: center; }
.head h3 { font-size: 1rem; line-height: 1.35; font-weight: 600; margin: 0 0 6px; overflow-wrap: anywhere; }
.head i { color: var(--soft); font-weight: 400; }
.id { color: var(--soft); font-size: .8rem; }
.badge { font-size: .75rem; font-weight: 600; border: 1px solid currentColor; border-radius: 99px; padding: 1px 8px; }
.badge.full { color: var(--full); } .badge.text { color: var(--text); } .badge.image { color: var(--image); }
.tags { grid-column: 1 / -1; list-style: none; margin: 8px 0 0; padding: 0; font-size: .88rem; }
.tags li { display: grid; grid-template-columns: minmax(0, 1fr) auto 2.6em; gap: 0 10px; padding: 3px 0 5px; }
.tag { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.tag b { font-weight: 600; }
.p { text-align: right; font-variant-numeric: tabular-nums; }
.bar { grid-column: 1 / -1; height: 4px; border-radius: 2px; background: var(--line); overflow: hidden; }
.bar::before { content: ''; display: block; height: 100%; width: var(--p); background: currentColor; }
.right .mark, .right .bar { color: var(--right); }
.wrong .mark, .wrong .bar { color: var(--wrong); }
.dim { color: var(--soft); } .dim b { font-weight: 400; }
.dim .bar { opacity: .5; }
svg { width: 100%; max-width: 620px; height: auto; display: block; font-size: 11px; }
svg text { fill: var(--ink); }
svg .name { text-anchor: end; font-weight: 600; }
svg .evidence { text-anchor: end; font-size: 9px; fill: var(--soft); }
svg .tick { text-anchor: middle; font-size: 10px; fill: var(--soft); }
svg .value { font-size: 9px; fill: var(--soft); }
svg .rule { stroke: var(--line); } svg .chance { stroke: var(--soft); stroke-dasharray: 3 3; }
.bar-full { fill: var(--full); } .bar-text { fill: var(--text); } .bar-image { fill: var(--image); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .95rem; }
caption { text-align: left; font-weight: 600; padding: 12px 0 4px; }
th, td { text-align: left; padding: 6px 18px 6px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
ul { padding-left: 1.2em; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; overflow-x: auto;
  font-size: .85rem; line-height: 1.5; }
@media (max-width: 520px) {
  main { padding: 12px 14px 48px; }
  h1 { font-size: 1.6rem; }
  .grid { grid-template-columns: minmax(0, 1fr); }
  th, td { padding-right: 12px; }
}
";
