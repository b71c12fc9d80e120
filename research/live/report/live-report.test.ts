import { beforeAll, describe, expect, it } from 'vitest';
import { elementsOf, parseMarkup, textOf, textsOf, type Element } from '../../../test/fixtures/markup.js';
import { handMadeResults, handMadeRun, stagedResults } from '../../../test/fixtures/live-results.js';
import type { LiveResults, RunMeasures } from '../live-results.js';
import { MEASURES } from '../live-tables.js';
import { liveReport } from './live-report.js';

function sectionOf(document: Element, heading: string): Element {
  return elementsOf(document, 'section').find((each) => textsOf(each, 'h2')[0] === heading)!;
}

function figuresOf(document: Element, heading: string): Element[] {
  return elementsOf(sectionOf(document, heading), 'figure');
}

function figureOf(document: Element, heading: string, title: string): Element {
  return figuresOf(document, heading).find((each) => textsOf(each, 'h3')[0] === title)!;
}

/** Rows of the first table of a section: the name, then the cells. */
function rowsOf(document: Element, heading: string): string[][] {
  const [table] = elementsOf(sectionOf(document, heading), 'table');
  return elementsOf(elementsOf(table!, 'tbody')[0]!, 'tr').map((row) => [...textsOf(row, 'th'), ...textsOf(row, 'td')]);
}

/** Paths of a colour, stroked or filled. */
function painted(element: Element, attribute: 'fill' | 'stroke', name: string): Element[] {
  return elementsOf(element, 'path').filter(({ attributes }) => attributes[attribute]?.startsWith(`var(--${name},`));
}

const CASES = ['sponge', 'sponge 2', 'sponge 4', 'paper', 'static small', 'static full', 'replicas'];

describe('the report of a live experiment', () => {
  let results: LiveResults;
  let html: string;
  let document: Element;

  beforeAll(async () => {
    results = stagedResults({ durationSec: 20, repetitions: 2, clients: 4 });
    html = await liveReport(results);
    document = parseMarkup(html);
  });

  it('has all sections', () => {
    expect(textsOf(document, 'h2')).toEqual([
      'Cost and violations',
      'What went worse',
      'The network',
      'Over time',
      'Predicted and actual',
      'Live and simulated',
      'Scenario, model and machine',
      'How this was made',
    ]);
  });

  it('needs nothing from elsewhere, repeats no id, and is the same each time', async () => {
    expect(html).not.toMatch(/https?:|<script|<link|<img|@import|@font-face/i);
    const ids = elementsOf(document).flatMap(({ attributes }) => attributes['id'] ?? []);
    expect(new Set(ids).size).toBe(ids.length);
    expect(/.{0,60}(?:NaN|undefined|Infinity).{0,20}/.exec(html)?.[0]).toBeUndefined();
    expect(await liveReport(results)).toBe(html);
  });

  it('has a line for each policy and setting, a median and its range in each cell', () => {
    const rows = rowsOf(document, 'Cost and violations');
    expect(rows.map(([name, idle]) => [name, idle])).toEqual(
      CASES.flatMap((name) => [
        [name, 'released'],
        [name, 'kept'],
      ]),
    );
    const [first, second] = results.live
      .filter((run) => run.case === 'sponge' && run.isIdleReleased)
      .map(({ measures }) => measures.coreSeconds)
      .sort((a, b) => a - b);
    const text = (value: number): string => (value < 100 ? value.toFixed(1) : value.toFixed(0));
    expect(rows[0]![4]).toBe(`${text((first! + second!) / 2)} ${text(first!)}–${text(second!)}`);
  });

  it('marks every repetition of every setting, and its simulation, in the colour of the policy', () => {
    const [svg] = elementsOf(
      figureOf(document, 'Cost and violations', 'Violations against cost, every repetition'),
      'svg',
    );
    // Ours with one, two and four instances, each by its name. Repetitions with idle CPU released.
    expect(painted(svg!, 'fill', 'ours')).toHaveLength(3 * 2);
    // With it released, with it kept, and the two simulations.
    expect(painted(svg!, 'stroke', 'ours')).toHaveLength(3 * (2 + 2 + 2));
    const texts = textsOf(svg!, 'text');
    for (const name of CASES) expect(texts).toContain(name);
    expect(texts).toContain(`reference ${MEASURES.coreSeconds.text(results.reference.servableCoreSeconds)}`);
  });

  it('draws latencies against the SLO, a line a setting', () => {
    const [svg] = elementsOf(figureOf(document, 'Cost and violations', 'Latency, p50 to p99'), 'svg');
    const texts = textsOf(svg!, 'text');
    expect(texts).toContain('SLO 1,500');
    for (const name of CASES) expect(texts).toEqual(expect.arrayContaining([`${name}, released`, `${name}, kept`]));
  });

  it('lists what went worse', () => {
    const items = textsOf(sectionOf(document, 'What went worse'), 'li');
    expect(items.length).toBeGreaterThan(2);
    expect(items).toContainEqual(
      expect.stringMatching(/^Resizes, idle CPU released or kept: sponge .*less: .*static full/),
    );
  });

  it('draws the network: bandwidths, delays and what was left of the budgets', () => {
    expect(figuresOf(document, 'The network').map((figure) => textsOf(figure, 'h3')[0])).toEqual([
      'Bandwidth of the clients',
      'Network delays',
      'Budgets left on arrival',
    ]);
    const bandwidth = figureOf(document, 'The network', 'Bandwidth of the clients');
    expect(painted(bandwidth, 'stroke', 'ours')).toHaveLength(4); // A line a client.
    const delays = figureOf(document, 'The network', 'Network delays');
    expect(painted(delays, 'stroke', 'ours')).toHaveLength(1);
    expect(painted(delays, 'stroke', 'ink')).toHaveLength(1);
    const budgets = figureOf(document, 'The network', 'Budgets left on arrival');
    expect(painted(budgets, 'fill', 'ours').length).toBeGreaterThan(100);
  });

  it('draws each policy over time, live and simulated in one panel', () => {
    expect(figuresOf(document, 'Over time').map((figure) => textsOf(figure, 'h3')[0])).toEqual(CASES);
    const figure = figureOf(document, 'Over time', 'paper');
    const titles = ['cores granted', 'queued requests, at most (√ scale)', 'violations per s', 'batch size', 'time, s'];
    expect(textsOf(figure, 'text')).toEqual(expect.arrayContaining(titles));
    expect(painted(figure, 'stroke', 'vermilion').length).toBeGreaterThanOrEqual(4); // Live, a line a row,
    expect(painted(figure, 'stroke', 'ink')).toHaveLength(4); // and simulated.
  });

  it('draws what was predicted against what it took, and counts what was above the plan', () => {
    const batches = results.live
      .filter((run) => run.case === 'sponge' && run.isIdleReleased)
      .flatMap(({ series }) => series.batches);
    const figure = figureOf(document, 'Predicted and actual', 'sponge');
    expect(textsOf(figure, 'figcaption')[0]).toContain(`${batches.length.toLocaleString('en')} batches`);
    expect(textsOf(figure, 'text')).toEqual(expect.arrayContaining(['predicted, ms', 'actual, ms']));
    expect(painted(figure, 'fill', 'ours').length).toBeGreaterThan(20);
  });

  it('puts live beside simulated for each setting', () => {
    const rows = rowsOf(document, 'Live and simulated');
    expect(rows).toHaveLength(2 * CASES.length);
    expect(rows[0]![2]).toMatch(/^(?:○ )?(?:[+−]\d+\.\d %|0 %) [\d,.]+ → [\d,.]+$/);
  });

  it('tells scenario, model, machine and event logs, but no path of the profile', () => {
    const text = textOf(document);
    expect(text).toContain('20 requests/s, Poisson, for 20 s');
    expect(text).toContain('1 to 10 cores in steps of 0.1');
    expect(text).toContain('sponge serve --policy paper');
    expect(textsOf(document, 'pre')[0]).toContain('profile: resnet18');
    expect(textsOf(document, 'pre')[1]).toContain('events/sponge-released-1.jsonl');
    expect(textOf(elementsOf(document, 'footer')[0]!)).toContain('abc1234');
  });
});

describe('a live report of little', () => {
  it('is whole where nothing was answered, measured or simulated', async () => {
    const nothing: Partial<RunMeasures> = {
      onTime: 0,
      expired: 1000,
      violationRate: 1,
      goodputPerSec: 0,
      usedCoreSeconds: null,
      latencyP50Ms: null,
      latencyP99Ms: null,
      meanBatchSize: 0,
      actualToPredictedP50: null,
    };
    const run = handMadeRun({ case: 'sponge', measures: nothing, run: { throttledSeconds: null, otherCores: null } });
    const html = await liveReport(handMadeResults(['sponge'], [run]));
    expect(/.{0,60}(?:NaN|undefined|Infinity).{0,20}/.exec(html)?.[0]).toBeUndefined();
    const document = parseMarkup(html);
    expect(rowsOf(document, 'Cost and violations')[0]).toEqual([
      'sponge',
      'released',
      '0.00',
      '100.0',
      '50.0',
      '–',
      '0.50',
      '5.00',
      '–',
      '–',
      '0.00',
      '10',
      '–',
      '0',
    ]);
    expect(textsOf(sectionOf(document, 'What went worse'), 'li')).toEqual([
      'One repetition: nothing is known of the spread, so any difference below may be chance.',
    ]);
  });

  it('escapes what a model is called', async () => {
    const results = handMadeResults(['sponge'], [handMadeRun({ case: 'sponge' })]);
    const model = { ...results.model, name: '<script>alert(1)</script>', description: '"><img src=x>' };
    const html = await liveReport({ ...results, model });
    expect(html).not.toMatch(/<script|<img/);
  });
});
