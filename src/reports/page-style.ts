import { COLOURS } from './chart.js';

function variables(scheme: 0 | 1): string {
  return Object.entries(COLOURS)
    .map(([name, values]) => `--${name}: ${values[scheme]};`)
    .join(' ');
}

/** Colours follow the reader's light or dark setting; paper is light. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; ${variables(0)} }
@media screen and (prefers-color-scheme: dark) { :root { ${variables(1)} } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 24px 40px; max-width: 1220px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; -webkit-text-size-adjust: 100%; }
h1 { margin: 0 0 4px; font-size: 24px; font-weight: 650; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 40px 0 4px; font-size: 18px; font-weight: 650; }
p { margin: 4px 0 10px; max-width: 78ch; overflow-wrap: anywhere; }
header p, section > p { color: var(--soft); }
code, pre { font: 13px/1.5 ui-monospace, Menlo, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
code { color: var(--ink); }
pre { margin: 8px 0; padding: 12px 14px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  white-space: pre-wrap; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 20px; margin: 12px 0; font-size: 14px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.figures { display: grid; gap: 14px; margin-top: 12px; align-items: start; }
.halves { align-items: stretch; grid-template-columns: repeat(auto-fill, minmax(min(480px, 100%), 1fr)); }
.thirds { grid-template-columns: repeat(auto-fill, minmax(min(330px, 100%), 1fr)); }
figure { margin: 0; padding: 10px 8px 6px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  break-inside: avoid; }
figcaption { padding: 0 6px; }
figcaption h3 { display: flex; align-items: baseline; gap: 7px; margin: 0; font-size: 14px; font-weight: 600;
  overflow-wrap: anywhere; }
figcaption p { margin: 0 0 4px; color: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; }
figure > p { margin: 4px 6px 2px; color: var(--soft); font-size: 13px; }
figure svg { display: block; margin: 4px auto 0; max-width: 640px; height: auto; font-variant-numeric: tabular-nums; }
.swatch { flex: none; display: inline-block; width: 10px; height: 10px; border-radius: 2px; }
.narrow { display: none; }
@media (max-width: 540px) {
  body { padding: 18px 12px 28px; }
  h2 { margin-top: 32px; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; } dd + dt { margin-top: 6px; }
  .wide { display: none; } .narrow { display: block; }
}
.table { margin-top: 12px; overflow-x: auto; border: 1px solid var(--rule); border-radius: 8px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px; text-align: right; white-space: nowrap; }
th { vertical-align: bottom; color: var(--soft); font-weight: 500; }
th small, td small { display: block; font-size: 11.5px; font-weight: 400; }
td small { color: var(--soft); }
tbody th, td { vertical-align: top; }
tbody th { color: var(--ink); font-weight: 600; }
tr > :first-child { position: sticky; left: 0; padding-left: 14px; background: var(--card); text-align: left; }
tbody tr > * { border-top: 1px solid var(--rule); }
td .swatch, th .swatch { margin-right: 7px; }
.notes { margin: 10px 0 0; padding: 0; list-style: none; color: var(--soft); font-size: 13px; }
.notes b { color: var(--ink); font-weight: 600; }
.items { margin: 10px 0 0; padding-left: 18px; max-width: 110ch; font-size: 14px; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
.items li { margin: 3px 0; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--soft); font-size: 14px; }
footer { margin-top: 44px; padding-top: 4px; border-top: 1px solid var(--rule); }
footer h2 { margin-top: 16px; font-size: 15px; } footer dl { font-size: 13px; }
@media print {
  @page { margin: 14mm; }
  body { padding: 0; max-width: none; background: none; font-size: 10.5pt; }
  .table { overflow: visible; border: none; } table { font-size: 7pt; } th, td { padding: 2px 3px; }
  th small, td small { font-size: 6pt; } tr > :first-child { padding-left: 0; }
  .halves, .thirds { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .wide { display: none; } .narrow { display: block; }
  h2 { break-after: avoid; } details:not([open]) { display: none; }
}
`;
