import { escaped } from './svg-axis.js';
import { colour, type ColourName } from './chart.js';
import { PAGE_STYLE } from './page-style.js';
import type { RunOrigin } from './run-origin.js';

/*
 * A report as one HTML file that needs nothing else: no script, no font, no picture from elsewhere. All texts are plain and
 * escaped here; `words in backticks` become code. Drawings are trusted: they come from `renderChart`.
 */

export interface Page {
  readonly title: string;
  /** Paragraphs. */
  readonly intro: readonly string[];
  readonly sections: readonly Section[];
  readonly origin: RunOrigin;
  /** More of how it was made. */
  readonly notes?: Facts;
}

export interface Section {
  readonly heading: string;
  /** Paragraphs that say how to read what follows. */
  readonly text?: readonly string[];
  readonly blocks: readonly Block[];
}

export type Block =
  | { readonly kind: 'figures'; readonly columns: 'halves' | 'thirds'; readonly figures: readonly Figure[] }
  | Table
  | { readonly kind: 'facts'; readonly facts: Facts }
  /** Sentences, one an item. */
  | { readonly kind: 'list'; readonly items: readonly string[] }
  /** A text as it is, closed until the reader opens it. */
  | { readonly kind: 'details'; readonly summary: string; readonly text: string };

export type Facts = readonly (readonly [name: string, value: string])[];

export interface Figure {
  readonly title: string;
  /** Of whatever the figure is about, beside its title. */
  readonly swatch?: ColourName;
  /** One line of numbers under the title. */
  readonly numbers?: string;
  readonly caption?: string;
  /** SVG texts; the narrow one takes the wide one's place on a phone. */
  readonly svg: string | { readonly wide: string; readonly narrow: string };
}

export interface Table {
  readonly kind: 'table';
  /** The first names its rows; the others are numbers and stand on the right. */
  readonly columns: readonly { readonly heading: string; readonly unit?: string }[];
  readonly rows: readonly { readonly name: string; readonly swatch?: ColourName; readonly cells: readonly Cell[] }[];
  /** What the headings mean. */
  readonly notes: Facts;
}

/** A number, and what is to be known of it below. */
export type Cell = string | { readonly text: string; readonly note: string };

export function renderPage({ title, intro, sections, origin, notes = [] }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<h1>${escaped(title)}</h1>
${paragraphs(intro)}
</header>
<main>
${sections.map(section).join('\n')}
</main>
${footer(origin, notes)}
</body>
</html>
`;
}

function section({ heading, text = [], blocks }: Section): string {
  return `<section>\n<h2>${escaped(heading)}</h2>\n${paragraphs(text)}\n${blocks.map(block).join('\n')}\n</section>`;
}

function block(each: Block): string {
  switch (each.kind) {
    case 'figures':
      return `<div class="figures ${each.columns}">\n${each.figures.map(figure).join('\n')}\n</div>`;
    case 'table':
      return table(each);
    case 'facts':
      return facts(each.facts);
    case 'list':
      return `<ul class="items">${each.items.map((item) => `<li>${prose(item)}</li>`).join('\n')}</ul>`;
    case 'details':
      return `<details><summary>${prose(each.summary)}</summary>\n<pre>${escaped(each.text)}</pre></details>`;
  }
}

function figure({ title, swatch, numbers, caption, svg }: Figure): string {
  const drawing =
    typeof svg === 'string'
      ? inline(svg)
      : `<div class="wide">${inline(svg.wide)}</div><div class="narrow">${inline(svg.narrow)}</div>`;
  return (
    `<figure><figcaption><h3>${swatchOf(swatch)}<span>${escaped(title)}</span></h3>` +
    `${numbers === undefined ? '' : `<p>${escaped(numbers)}</p>`}</figcaption>\n${drawing}` +
    `${caption === undefined ? '' : `\n<p>${prose(caption)}</p>`}</figure>`
  );
}

/** Within HTML, an SVG needs no namespace. */
function inline(svg: string): string {
  return svg.replace(/ xmlns="[^"]*"/, '');
}

function table({ columns, rows, notes }: Table): string {
  const head = columns.map(
    ({ heading, unit }) =>
      `<th scope="col">${escaped(heading)}${unit === undefined ? '' : ` <small>${escaped(unit)}</small>`}</th>`,
  );
  const body = rows.map(
    ({ name, swatch, cells }) =>
      `<tr><th scope="row">${swatchOf(swatch)}${escaped(name)}</th>${cells.map(tableCell).join('')}</tr>`,
  );
  return (
    `<div class="table" tabindex="0"><table>\n<thead><tr>${head.join('')}</tr></thead>\n<tbody>\n${body.join('\n')}\n</tbody>\n</table></div>\n` +
    `<ul class="notes">${notes.map(([name, value]) => `<li><b>${escaped(name)}</b> ${prose(value)}</li>`).join('')}</ul>`
  );
}

function tableCell(cell: Cell): string {
  if (typeof cell === 'string') return `<td>${escaped(cell)}</td>`;
  return `<td>${escaped(cell.text)} <small>${escaped(cell.note)}</small></td>`;
}

function footer({ command, seeds, commit, version, date, machine, tookSeconds }: RunOrigin, notes: Facts): string {
  const { cpu, cores, memoryGib, kernel, node } = machine;
  return `<footer>
<h2>How this was made</h2>
${facts([
  ['command', `\`${command}\``],
  ['seed', seeds],
  ['code', `sponge-inference ${version}${commit === null ? '' : `, commit ${commit}`}`],
  [
    'date',
    `${date.slice(0, 16).replace('T', ' ')} UTC${tookSeconds === undefined ? '' : `, ${secondsText(tookSeconds)} of work`}`,
  ],
  ['machine', `${cpu}, ${cores} cores, ${memoryGib} GiB, ${kernel}, Node ${node.replace(/^v/, '')}`],
  ...notes,
])}
</footer>`;
}

function secondsText(seconds: number): string {
  return seconds < 10 ? `${seconds.toFixed(1)} s` : `${seconds.toFixed(0)} s`;
}

function facts(rows: Facts): string {
  return `<dl>\n${rows.map(([name, value]) => `<dt>${escaped(name)}</dt><dd>${prose(value)}</dd>`).join('\n')}\n</dl>`;
}

function paragraphs(texts: readonly string[]): string {
  return texts
    .filter((text) => text !== '')
    .map((text) => `<p>${prose(text)}</p>`)
    .join('\n');
}

function prose(text: string): string {
  return escaped(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>');
}

function swatchOf(name: ColourName | undefined): string {
  return name === undefined ? '' : `<span class="swatch" style="background:${colour(name)}"></span>`;
}
