/** Colours follow the reader's light or dark setting; shades of the throughput lines run from little CPU to much. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1c2024; --soft: #60656c; --rule: #e6e7e9; --edge: #a5aab1;
  --measured: #0b68cb; --planned: #c2410c; --other: #cfd3d8;
  --shade-0: #93bdee; --shade-1: #6fa8e6; --shade-2: #4b90da; --shade-3: #2874c7; --shade-4: #135aa6; --shade-5: #083f7c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121416; --card: #1a1d20; --ink: #eceef0; --soft: #9ba1a8; --rule: #2b2f34; --edge: #5d636b;
    --measured: #6cb2ff; --planned: #ff9b5e; --other: #3d434a;
    --shade-0: #36649e; --shade-1: #3d72b4; --shade-2: #447fc6; --shade-3: #5b99e0; --shade-4: #86b8f2; --shade-5: #bedafd;
  }
}
body { margin: 0 auto; padding: 28px 24px 40px; max-width: 1220px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 4px; font-size: 22px; font-weight: 650; }
header p { margin: 4px 0; color: var(--soft); overflow-wrap: anywhere; }
code { color: var(--ink); font: 13px ui-monospace, Menlo, "DejaVu Sans Mono", monospace; }
dl { display: flex; flex-wrap: wrap; gap: 6px 32px; margin: 14px 0 10px; }
dt { color: var(--soft); font-size: 12.5px; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; }
.legend span { display: inline-flex; align-items: center; gap: 6px; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 14px; margin-top: 12px; }
figure { margin: 0; padding: 10px 8px 4px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
figcaption { padding: 0 8px 2px; font-size: 14px; font-weight: 600; }
svg { display: block; width: 100%; height: auto; }
.legend svg { width: 30px; flex: none; }
svg text { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
.x-label { text-anchor: middle; } .y-label { text-anchor: end; } svg .name { font-size: 11.5px; }
path { fill: none; }
.grid { stroke: var(--rule); } .frame { stroke: var(--edge); }
.other { stroke: var(--other); stroke-width: 1.2; }
.typical { stroke: var(--ink); stroke-width: 1.6; }
.unused { stroke: var(--soft); stroke-width: 1.3; stroke-dasharray: 1.5 3.5; stroke-linecap: round; }
.planned { stroke: var(--planned); stroke-width: 1.6; stroke-dasharray: 6 4; }
.whisker { stroke: var(--measured); stroke-width: 1.4; }
.point { fill: var(--measured); stroke: var(--card); stroke-width: 1; }
.throughput { stroke-width: 1.8; }
${[0, 1, 2, 3, 4, 5].map((i) => `.line-${i} path { stroke: var(--shade-${i}); } .line-${i} circle { fill: var(--shade-${i}); }`).join('\n')}
details { margin-top: 16px; } summary { cursor: pointer; color: var(--soft); }
table { border-collapse: collapse; margin-top: 8px; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 14px 3px 0; text-align: right; } th { color: var(--soft); font-weight: 500; }
tr + tr td { border-top: 1px solid var(--rule); }
@media print { details { display: none; } }
`;
