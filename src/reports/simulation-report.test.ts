import { beforeAll, describe, expect, it } from 'vitest';
import { elementsOf, parseMarkup, textOf, textsOf, type Element } from '../../test/fixtures/markup.js';
import { Prng } from '../scheduler/random/prng.js';
import type { SeedResult } from '../simulator/comparison/run-seed.js';
import { parseScenario } from '../simulator/scenarios/parse-scenario.js';
import { readScenario } from '../simulator/scenarios/scenario-files.js';
import { simulate, type ScenarioFile } from '../simulator/comparison/simulate.js';
import { summarise } from '../simulator/comparison/summary.js';
import type { RunOrigin } from './run-origin.js';
import { simulationReport, type SimulationReportOptions } from './simulation-report.js';

const origin: RunOrigin = {
  command: 'sponge simulate authors-applied --report out.html',
  seeds: '1 to 2',
  commit: null,
  version: '0.1.0',
  date: '2026-11-25T10:20:30.000Z',
  machine: { cpu: 'Some CPU', cores: 2, memoryGib: 24, kernel: 'Linux 6.1', node: 'v20.19.0' },
};

/** The figure of a title, in a section. */
function figureOf(document: Element, heading: string, title: string): Element {
  const section = elementsOf(document, 'section').find((each) => textsOf(each, 'h2')[0] === heading)!;
  return elementsOf(section, 'figure').find((each) => textsOf(each, 'h3')[0] === title)!;
}

/** Paths of a colour, stroked or filled. */
function painted(figure: Element, attribute: 'fill' | 'stroke', name: string): Element[] {
  return elementsOf(figure, 'path').filter(({ attributes }) => attributes[attribute]?.startsWith(`var(--${name},`));
}

describe('the report of a simulation', () => {
  const policies = ['sponge', 'paper', 'static(cores=3,batch=4)', 'best-static'];
  let options: SimulationReportOptions;
  let html: string;
  let document: Element;

  beforeAll(async () => {
    const file = readScenario('authors-applied', ['durationSec=60']);
    const { summary, results } = await simulate({ file, policies, seed: 1, seeds: 2, threads: 1 });
    options = { file, summary, results, origin };
    html = await simulationReport(options);
    document = parseMarkup(html);
  });

  it('has all sections', () => {
    expect(textsOf(document, 'h1')).toEqual([`authors-applied: ${options.file.scenario.title}`]);
    expect(textsOf(document, 'h2')).toEqual([
      'Cost and violations',
      'Over time',
      'Latency',
      'The scenario',
      'How this was made',
    ]);
    expect(textsOf(document, 'h3')).toEqual([
      'Violations against cost',
      'What became of the requests',
      'The load',
      ...policies,
      ...policies,
    ]);
  });

  it('needs nothing from elsewhere', () => {
    expect(html).not.toMatch(/https?:|<script|<link|<img|@import|@font-face/i);
    for (const address of html.match(/url\([^)]*\)/g) ?? []) expect(address).toMatch(/^url\(#/);
    const ids = elementsOf(document).flatMap(({ attributes }) => attributes['id'] ?? []);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('is the same each time', async () => {
    expect(await simulationReport(options)).toBe(html);
  });

  it('has the table, a line a policy', () => {
    const [table] = elementsOf(document, 'table');
    const rows = elementsOf(elementsOf(table!, 'tbody')[0]!, 'tr').map((row) =>
      textsOf(row, 'th').concat(textsOf(row, 'td')),
    );
    expect(rows.map(([name]) => name)).toEqual(policies);
    const { policies: summaries, referenceCoreSeconds } = options.summary;
    rows.forEach((row, i) => {
      const { coreSeconds, late } = summaries[i]!;
      expect(row).toHaveLength(16);
      expect(row[3]).toBe(late.toLocaleString('en'));
      expect(row[9]).toBe(Math.round(coreSeconds).toLocaleString('en'));
      expect(row[10]).toBe((coreSeconds / referenceCoreSeconds!).toFixed(2));
    });
    expect(textOf(document)).toContain('best-static chose');
  });

  it('draws the trade-off: a point a policy, named, the reference as a line, for wide and narrow pages', () => {
    const figure = figureOf(document, 'Cost and violations', 'Violations against cost');
    expect(elementsOf(figure, 'svg')).toHaveLength(2);
    for (const svg of elementsOf(figure, 'svg')) {
      expect(painted(svg, 'fill', 'ours')).toHaveLength(1);
      expect(painted(svg, 'fill', 'vermilion')).toHaveLength(1);
      expect(painted(svg, 'fill', 'slate')).toHaveLength(2);
      const texts = textsOf(svg, 'text');
      for (const name of ['sponge', 'paper', 'static 3 4', 'best-static']) expect(texts).toContain(name);
      expect(texts).toContain('violations, of feasible requests');
      expect(texts).toContain('core-seconds a seed, mean of 2');
      expect(texts).toContain(`reference ${(options.summary.referenceCoreSeconds! / 2).toFixed(0)}`);
      expect(elementsOf(svg, 'line').filter(({ attributes }) => attributes['stroke-dasharray'] === '5,4')).toHaveLength(
        1,
      );
    }
  });

  it('draws what became of the requests, a bar a policy, in the order of the policies', () => {
    const [svg] = elementsOf(figureOf(document, 'Cost and violations', 'What became of the requests'), 'svg');
    expect(painted(svg!, 'fill', 'punctual').length).toBe(policies.length + 1); // With the legend's.
    const names = textsOf(svg!, 'text').filter((text) => /^(?:sponge|paper|static 3 4|best-static)$/.test(text));
    expect(names).toEqual(['sponge', 'paper', 'static 3 4', 'best-static']);
    expect(textsOf(svg!, 'text')).toContain('% of the requests sent');
  });

  it('draws cores and violations over time, each policy in its colour', () => {
    expect(painted(figureOf(document, 'Over time', 'sponge'), 'stroke', 'ours').length).toBe(2); // In time, and sorted.
    expect(painted(figureOf(document, 'Over time', 'paper'), 'stroke', 'vermilion').length).toBe(2);
    expect(painted(figureOf(document, 'Over time', 'best-static'), 'stroke', 'slate').length).toBe(2);
    for (const policy of policies) {
      const texts = textsOf(figureOf(document, 'Over time', policy), 'text');
      for (const title of ['cores held', 'sorted', 'violations per s', 'time, s', '% of time']) {
        expect(texts).toContain(title);
      }
    }
    expect(textsOf(figureOf(document, 'Over time', 'The load'), 'text')).toContain('requests sent per s');
  });

  it('draws latencies, with the SLO marked and the others in grey', () => {
    for (const policy of policies) {
      const figure = figureOf(document, 'Latency', policy);
      expect(painted(figure, 'stroke', 'other')).toHaveLength(3);
      expect(textsOf(figure, 'text')).toEqual(
        expect.arrayContaining(['SLO 1,000 ms', 'ms from sending to the answer']),
      );
      expect(
        elementsOf(figure, 'line').filter(({ attributes }) => attributes['stroke-dasharray'] === '4,3'),
      ).toHaveLength(1);
    }
    expect(painted(figureOf(document, 'Latency', 'sponge'), 'stroke', 'ours')).toHaveLength(1);
  });

  it('tells the scenario', () => {
    const text = textOf(document);
    expect(text).toContain('20 requests/s, Poisson, for 60 s');
    expect(text).toContain('303,600 B, SLO 1,000 ms');
    expect(text).toContain('1 to 16 cores in steps of 0.1');
    expect(textsOf(document, 'pre')[0]).toContain('durationSec: 60');
  });

  it('tells how it was made, of this run where it is not told', async () => {
    expect(textOf(elementsOf(document, 'footer')[0]!)).toContain(options.summary.eventHash);
    const { file, summary, results } = options;
    const footer = textOf(elementsOf(parseMarkup(await simulationReport({ file, summary, results })), 'footer')[0]!);
    expect(footer).toContain('1 to 2');
    expect(footer).toContain(process.version.slice(1));
  });
});

describe('a report of other runs', () => {
  it('escapes a title that is none of a scenario', async () => {
    const scenario = parseScenario(
      JSON.stringify({
        title: '</title><script>alert(1)</script>',
        about: '<img src=x onerror=alert(1)>',
        durationSec: 5,
        arrivals: { kind: 'constant', ratePerSec: 5 },
        network: { mode: 'none' },
      }),
      'bad.yaml',
    );
    const file: ScenarioFile = { name: '"><svg onload=alert(1)>', scenario, folder: '.' };
    const { summary, results } = await simulate({ file, policies: ['sponge'], seed: 1, seeds: 1, threads: 1 });
    const html = await simulationReport({ file, summary, results, origin });
    expect(html).not.toMatch(/<script|<img|<svg onload/);
    expect(textsOf(parseMarkup(html), 'h1')).toEqual([
      '&quot;&gt;&lt;svg onload=alert(1)&gt;: &lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;',
    ]);
    // Nothing was missed: the one point stands at zero, below the logarithmic axis.
    const figure = figureOf(parseMarkup(html), 'Cost and violations', 'Violations against cost');
    expect(textsOf(figure, 'text')).toContain('none');
  });

  it('draws a policy that answers nothing, and the reason why there is no reference', async () => {
    const seed = fakeSeed('static-8', 1, 60, new Prng(1));
    const none: SeedResult = { ...seed, onTime: 0, late: 0, expired: seed.sent, latenciesMs: new Float64Array(0) };
    const html = await report([[{ ...none, violationRate: 1, violationRateFeasible: 1 }]], 'there is too much');
    const document = parseMarkup(html);
    expect(textOf(document)).toContain('There is no reference: seed 1: there is too much.');
    expect(textsOf(figureOf(document, 'Cost and violations', 'Violations against cost'), 'text')).not.toContainEqual(
      expect.stringContaining('reference'),
    );
    expect(html).not.toContain('NaN');
  });

  it('stays small and whole for fifteen policies, three seeds and an hour, and cuts off a backlog', async () => {
    const prng = new Prng(2);
    const results = Array.from({ length: 15 }, (_, policy) =>
      [1, 2, 3].map((seed) => fakeSeed(`static(cores=${policy + 1})`, seed, 3600, prng, policy === 3 ? 7200 : 3600)),
    );
    const html = await report(results);
    expect(html.length).toBeLessThan(2_000_000);
    expect(/.{0,60}(NaN|undefined|Infinity).{0,20}/.exec(html)?.[0]).toBeUndefined();
    const document = parseMarkup(html);
    expect(textOf(document)).toContain('Each step is the mean of 20 s');
    expect(textsOf(document, 'figcaption').filter((text) => text.includes('ends after 2 h'))).toHaveLength(1);
    expect(elementsOf(document, 'figure')).toHaveLength(2 + 1 + 15 + 15);
  });
});

function report(results: readonly (readonly SeedResult[])[], referenceReason: string | null = null): Promise<string> {
  const summary = summarise({
    scenario: 'fake',
    seed: 1,
    seeds: results[0]!.length,
    results,
    references: [
      {
        seed: 1,
        coreSeconds: referenceReason === null ? 1000 : null,
        reason: referenceReason,
        servableCoreSeconds: 1000,
        unavoidable: 0,
      },
    ],
    wallSeconds: 1,
  });
  const file = readScenario('diurnal');
  return simulationReport({ file, summary, results, origin });
}

function fakeSeed(policy: string, seed: number, loadSec: number, prng: Prng, runSec = loadSec): SeedResult {
  const coresBySecond = Array.from({ length: runSec }, () => 16 * prng.uniform());
  const sentBySecond = Array.from({ length: loadSec }, () => prng.int(40));
  const violatedBySecond = sentBySecond.map((sent) => Math.floor(sent * prng.uniform() ** 4));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const [sent, late] = [sum(sentBySecond), sum(violatedBySecond)];
  return {
    policy,
    seed,
    sent,
    onTime: sent - late,
    late,
    rejectedInfeasible: 0,
    rejectedOverload: 0,
    expired: 0,
    cancelled: 0,
    failed: 0,
    infeasibleOnArrival: 0,
    infeasibleOnTime: 0,
    violationRate: late / sent,
    violationRateFeasible: late / sent,
    durationSec: runSec,
    coreSeconds: sum(coresBySecond),
    grantedCoreSeconds: sum(coresBySecond),
    cpuSecondsUsed: sum(coresBySecond) / 2,
    boundCoreSeconds: null,
    instances: 1,
    instanceReference: null,
    restingFloorCoreSeconds: 0,
    resizes: 100,
    batches: 10,
    batchedRequests: 20,
    eventHash: 'abc',
    wallMs: 1,
    heldMs: Array.from({ length: 160 }, (_, i) => [100 * (i + 1), (1000 * runSec) / 160] as const),
    coresBySecond,
    sentBySecond,
    violatedBySecond,
    latenciesMs: Float64Array.from({ length: sent }, () => 20 + 2000 * prng.uniform() ** 3),
  };
}
