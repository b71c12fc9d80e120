import { beforeAll, describe, expect, it } from 'vitest';
import type { RunOrigin } from '../../../src/reports/run-origin.js';
import { reproduce, type ExperimentResults } from '../experiment.js';
import { networkSource } from '../network-source.js';
import { csvFiles } from './csv.js';
import { fixed, plusMinus, signed, spreadText } from './figure.js';
import { reportFigures } from './figures.js';
import { resultsJson } from './json.js';
import { experimentPage } from './page.js';
import { tableText, wrapped } from './text.js';
import { textReport } from './text-report.js';

const ORIGIN: RunOrigin = {
  command: 'npm run research -- euromlsys24 --seeds 1',
  seeds: '1',
  commit: 'abc1234',
  version: '1.2.3',
  date: '2026-01-02T03:04:05.000Z',
  machine: { cpu: 'A processor', cores: 2, memoryGib: 8, kernel: 'Linux 6', node: 'v20.0.0' },
  tookSeconds: 12,
};

const DURATION_SEC = 6;
let results: ExperimentResults;
beforeAll(async () => {
  results = await reproduce({ seeds: [1], durationSec: DURATION_SEC, network: networkSource() }, 1);
}, 60_000);

describe('numbers in tables', () => {
  const spread = { mean: 4.804, least: 0.14, most: 6.37, deviation: 0.5 };

  it('have a proper minus, no minus zero, and a sign where they are differences', () => {
    expect([fixed(-0.0001, 2), fixed(-1.25, 1), fixed(null, 2)]).toEqual(['0.00', '−1.3', '-']);
    expect([signed(0.321, 2), signed(-2.29, 2), signed(0.0001, 2)]).toEqual(['+0.32', '−2.29', '0.00']);
  });

  it('have the range of the seeds where they differ', () => {
    expect(spreadText(spread, 2)).toBe('4.80 (0.14 … 6.37)');
    expect(spreadText({ mean: 8, least: 8, most: 8.001, deviation: 0 }, 2)).toBe('8.00');
    expect(plusMinus(spread, 1)).toBe('4.8 ± 0.5');
  });
});

describe('text', () => {
  it('aligns numbers at the right and words at the left', () => {
    const text = tableText({
      caption: 'What it is',
      columns: ['policy', 'whose', '%'],
      rows: [
        ['a', 'ours', '1.25'],
        ['longer', 'theirs', '100'],
      ],
    });
    expect(text.split('\n')).toEqual([
      'What it is',
      '  policy  whose      %',
      '  a       ours    1.25',
      '  longer  theirs   100',
    ]);
  });

  it('wraps at spaces and never between a number and its unit', () => {
    expect(wrapped('it takes 47.7 ms and 95 % of it', 12, '  ')).toBe('  it takes\n  47.7 ms\n  and 95 %\n  of it');
  });
});

describe('the report', () => {
  it('begins with where it comes from, and says that the network is generated and the run short', () => {
    const text = textReport(results, ORIGIN);
    expect(text).toMatch(/^command: npm run research -- euromlsys24 --seeds 1\nseeds: {3}1\n/);
    expect(text.replaceAll(/\s+/g, ' ')).toContain('Network: generated 4G-like series');
    expect(text.replaceAll(/\s+/g, ' ')).toContain(`${DURATION_SEC} s each, where the published runs last 600 s`);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(140);
    expect(text).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });

  it('has for every figure what is published, what is ours and why they differ', () => {
    const figures = reportFigures(results);
    for (const { title, tables, why } of Object.values(figures)) {
      expect(tables.length, title).toBeGreaterThan(0);
      expect(why.length, title).toBeGreaterThan(0);
      for (const { columns, rows } of tables) {
        expect(rows.length, title).toBeGreaterThan(0);
        for (const row of rows) expect(row, title).toHaveLength(columns.length);
      }
    }
    expect(JSON.stringify(figures.evaluation.tables[0]!.rows)).toContain('0.2875');
    expect(figures.fits.tables[0]!.rows).toHaveLength(14);
  });

  it('is one page that needs nothing else, with every drawing in it', async () => {
    const page = await experimentPage(results, ORIGIN);
    // Bandwidth, remaining SLO, three fits, two histograms, violations, cores; each wide and narrow.
    expect(page.match(/<svg /g)).toHaveLength(2 * 9);
    expect(page).not.toMatch(/(?:src|href)="|https?:\/\/|url\((?!#)|<script/);
    expect(page).not.toMatch(/NaN|undefined|\[object/);
    expect(page).toContain('0.2875');
    expect(page).toContain('generated 4G-like series');
    expect(page).toContain('A processor');
  });

  it('keeps everything but columns by second in its JSON', () => {
    const json = JSON.parse(resultsJson(results, ORIGIN)) as Record<string, unknown>;
    expect(json).toMatchObject({ experiment: 'euromlsys24', origin: ORIGIN, seeds: [1], durationSec: DURATION_SEC });
    expect(json['network']).toMatchObject({ kind: 'generated' });
    expect(Object.keys(json)).toEqual(expect.arrayContaining(['fits', 'remainingSlo', 'replays', 'evaluation', 'why']));
    expect(json['evaluation']).toHaveLength(results.evaluation.cells.length);
    expect(resultsJson(results, ORIGIN)).not.toContain('BySecond');
  });

  it('has a CSV file a figure, whose comments say where it comes from', () => {
    const files = csvFiles(results, ['command: x', 'network: y, z']);
    expect([...files.keys()].sort()).toEqual([
      'communication-latency.csv',
      'evaluation-by-second.csv',
      'evaluation.csv',
      'fa2-decisions.csv',
      'latency-fits.csv',
      'released-decisions.csv',
      'remaining-slo.csv',
      'rule-replays.csv',
    ]);
    for (const [name, text] of files) {
      const [command, network, header, ...rows] = text.trimEnd().split('\n');
      expect([command, network], name).toEqual(['# command: x', '# network: y, z']);
      const columns = header!.split(',').length;
      for (const row of rows) {
        expect(row.replaceAll(/"[^"]*"/g, 'text').split(','), `${name}: ${row}`).toHaveLength(columns);
        expect(row).not.toMatch(/NaN|undefined|Infinity/);
      }
    }
    // 2 services · 4 policies.
    expect(files.get('evaluation-by-second.csv')!.split('\n')).toHaveLength(2 + 1 + 2 * 4 * DURATION_SEC + 1);
    expect(files.get('remaining-slo.csv')!.split('\n')).toHaveLength(2 + 1 + DURATION_SEC + 1);
  });
});
