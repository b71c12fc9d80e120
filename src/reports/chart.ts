import { createHash } from 'node:crypto';
import type { Spec as VegaSpec } from 'vega';
import type { Config, TopLevelSpec } from 'vega-lite';
import { escaped } from './svg-axis.js';
import { loadVega } from './vega.js';

/*
 * From a declarative chart to SVG text, without a browser, a canvas or the network. Colours are the page's CSS variables,
 * so one drawing serves light and dark; text takes the page's font. Where there is no page, each variable has its light
 * value as the fallback.
 */

/** A part of a layered chart. */
export type Layer = Extract<TopLevelSpec, { layer: unknown }>['layer'][number];

export type ChartSpec = TopLevelSpec & {
  /** What the drawing shows, in a sentence, for those who cannot see it. */
  readonly description: string;
};

/** The page's colours by name, light and dark. Those of policies are told apart with any common colour blindness. */
export const COLOURS = {
  page: ['#fbfbfa', '#121416'],
  card: ['#ffffff', '#1a1d20'],
  ink: ['#1c2024', '#eceef0'],
  soft: ['#60656c', '#9ba1a8'],
  rule: ['#e6e7e9', '#2b2f34'],
  edge: ['#a5aab1', '#5d636b'],
  other: ['#cfd3d8', '#3d434a'],
  // Policies.
  ours: ['#0b68cb', '#6cb2ff'],
  vermilion: ['#b3400f', '#ff330a'],
  amber: ['#c98500', '#ffe17f'],
  slate: ['#4b525c', '#9fa7b7'],
  green: ['#2ba869', '#a6f2cc'],
  purple: ['#3f0f6a', '#a92fe7'],
  pink: ['#ec5eaf', '#cb2168'],
  brown: ['#482514', '#cc9866'],
  // What became of a request.
  punctual: ['#dfe3e8', '#2f343a'],
  late: ['#f39a0a', '#f0b04d'],
  refused: ['#5aaae6', '#75aaed'],
  overloaded: ['#172b36', '#d1ecfa'],
  expired: ['#7a22a6', '#a428e8'],
  failed: ['#bd181a', '#c21513'],
  left: ['#7f8386', '#87898b'],
} as const satisfies Record<string, readonly [light: string, dark: string]>;

export type ColourName = keyof typeof COLOURS;

/** As CSS. */
export function colour(name: ColourName): string {
  return `var(--${name}, ${COLOURS[name][0]})`;
}

/** Of all text; a chart of 360 px is read on a phone at 0.9 of it. */
export const FONT_PX = 12;
/** Of a sans-serif's mean character, digits and capitals included, as a part of the font's size: a little more than most have. */
const CHARACTER_WIDTH = 0.6;

/** Estimated, because there is no font here: the reader's browser has it. */
export function textWidthPx(text: string, fontPx = FONT_PX): number {
  return Math.ceil(text.length * fontPx * CHARACTER_WIDTH);
}

const AXIS_TEXT = { labelColor: colour('soft'), titleColor: colour('soft'), titleFontWeight: 400 } as const;

const THEME: Config = {
  background: 'transparent',
  padding: 4,
  font: 'inherit',
  // The drawing is one image with one description; a label a mark would be noise.
  aria: false,
  view: { stroke: null },
  axis: {
    ...AXIS_TEXT,
    labelFontSize: FONT_PX,
    titleFontSize: FONT_PX,
    titlePadding: 6,
    labelPadding: 4,
    labelFlush: false,
    gridColor: colour('rule'),
    domainColor: colour('edge'),
    tickColor: colour('edge'),
    tickSize: 4,
  },
  axisY: { ticks: false, domain: false },
  axisX: { grid: false },
  title: { color: colour('soft'), fontSize: FONT_PX, fontWeight: 400, anchor: 'start', frame: 'group', offset: 6 },
  legend: {
    ...AXIS_TEXT,
    labelColor: colour('ink'),
    labelFontSize: FONT_PX,
    titleFontSize: FONT_PX,
    symbolStrokeWidth: 0,
    symbolType: 'square',
    orient: 'top',
  },
  text: { color: colour('ink'), fontSize: FONT_PX },
  rule: { color: colour('edge') },
  line: { strokeJoin: 'round' },
};

/**
 * @throws Error where the chart is wrong, warnings of the compiler included: nobody would see them
 * @returns an `svg` element that fills the width it is given
 */
export async function renderChart(spec: ChartSpec): Promise<string> {
  const { vega, compile } = await loadVega();
  const complaints: string[] = [];
  const complain = (...what: readonly unknown[]): void => void complaints.push(what.map(String).join(' '));
  const refuse = (address: string): Promise<never> => {
    complain('loads', address);
    return Promise.reject(new Error('a chart carries its data'));
  };
  // A rejected link would break the library's renderer where nobody waits for it.
  const refuseLink = (address: string): Promise<{ href: string }> => {
    complain('links to', address);
    return Promise.resolve({ href: '' });
  };
  // The estimate, even where a canvas package happens to be installed: the same input is the same drawing everywhere.
  const { textMetrics } = vega as unknown as { textMetrics: object };
  Object.assign(textMetrics, {
    width: ({ fontSize }: { fontSize?: number }, text: unknown) => textWidthPx(String(text), fontSize ?? FONT_PX),
  });
  const { description, ...drawn } = spec;
  const logger = vega.logger(vega.Warn);
  Object.assign(logger, { warn: complain, error: complain });
  const compiled: VegaSpec = compile({ ...drawn, config: { ...THEME, ...spec.config } }, { logger }).spec;
  const view = new vega.View(vega.parse(compiled), {
    renderer: 'none',
    logger,
    loader: { load: refuse, http: refuse, file: refuse, sanitize: refuseLink },
  });
  try {
    const svg = await view.toSVG();
    if (complaints.length > 0) throw new Error(`chart "${spec.description}": ${complaints.join('; ')}`);
    return tidied(svg, description);
  } finally {
    view.finalize();
  }
}

const OPENING_TAG = /^<svg [^>]*viewBox="([^"]*)"[^>]*>/;
/** Of no effect in a drawing that nobody clicks and that describes itself as a whole. */
const IDLE_ATTRIBUTES = / (?:class|aria-hidden|aria-roledescription|role|pointer-events|opacity(?=="1"))="[^"]*"/g;
const IDLE_ELEMENT = /^<path d="(?:M0,0h0v0h0Z)?"(?: display="none")?\/>$/;
const PLACES = / (?:d|transform)="[^"]*"/g;
/** Beyond this, a drawing is the same to the eye. */
const DECIMALS = 1;

function rounded(places: string): string {
  return places.replaceAll(/-?\d+\.\d+/g, (number) => String(Number(Number(number).toFixed(DECIMALS))));
}

/** Our own opening tag, ids that no other drawing on the page has, and less of what does nothing. */
function tidied(svg: string, description: string): string {
  const [, viewBox] = OPENING_TAG.exec(svg)!;
  const [, , width, height] = viewBox!.split(' ').map((each) => Math.ceil(Number(each)));
  const text = escaped(description);
  const body = svg.replace(OPENING_TAG, '').replaceAll(/<[^>]+>/g, (tag) => {
    const short = tag.replaceAll(IDLE_ATTRIBUTES, '').replaceAll(PLACES, rounded);
    return IDLE_ELEMENT.test(short) ? '' : short;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width!} ${height!}" width="100%" ` +
    `role="img" aria-label="${text}"><title>${text}</title>${withOwnIds(body)}`
  );
}

/** The library counts its ids up from drawing to drawing; ours follow from what is drawn. */
function withOwnIds(body: string): string {
  const ids = [...body.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id!);
  const renamed = (prefix: string): string =>
    ids.reduce(
      (text, id, index) =>
        text.replaceAll(` id="${id}"`, ` id="${prefix}${index}"`).replaceAll(`url(#${id})`, `url(#${prefix}${index})`),
      body,
    );
  return ids.length === 0 ? body : renamed(`c${createHash('sha256').update(renamed('')).digest('hex').slice(0, 8)}-`);
}
