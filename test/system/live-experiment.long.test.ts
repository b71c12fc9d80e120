import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import { slow } from '../../research/load-models/tiny-graphs.js';
import { parseEventLog } from '../../src/scheduler/domain/event-log.js';
import type { LiveResults } from '../../research/live/live-results.js';
import { TestBench } from './server/harness.js';

/*
 * `npm run research -- live` on tiny settings, so that it cannot rot: a model of some ms, seconds of load, one repetition.
 * Nothing is said about its numbers but what must hold for any.
 */

const bench = new TestBench();
afterAll(() => bench.close());

const CASES = ['sponge', 'sponge 2', 'sponge 4', 'paper', 'static small', 'static full', 'replicas'];
/** Those that need a CPU group for each instance. */
const OF_SEVERAL = ['sponge 2', 'sponge 4', 'replicas'];

it('serves every policy, simulates the same, and reports both', async () => {
  const model = bench.model('slow', slow(60));
  const out = bench.path('out');
  const page = bench.file('page.md', '# Live\n\n<!-- generated: begin -->\n<!-- generated: end -->\n');
  const flags = [
    '--model',
    model,
    '--profile-sec',
    '4',
    '--duration-sec',
    '2',
    '--repetitions',
    '1',
    '--idle',
    'released',
  ];
  const args = ['live', ...flags, '--rate', '20', '--slo', '700', '--out', out, '--into', page, '--json'];
  const { code, stdout, stderr } = await bench.research(args);
  expect(code, stderr).toBe(0);

  const results = JSON.parse(stdout) as LiveResults;
  const cases = CASES.filter((name) => !OF_SEVERAL.includes(name) || results.leftOut.length === 0);
  if (cases.length < CASES.length) console.warn(`SKIPPED a part: ${results.leftOut.join(' ')}`);
  expect(results.cases.map(({ name }) => name)).toEqual(cases);
  expect(results.live.map((run) => run.case).sort()).toEqual([...cases].sort());
  expect(results.simulated.map((run) => run.case)).toEqual(cases);
  const sent = results.live[0]!.measures.sent;
  expect(sent).toBeGreaterThan(5);
  for (const { case: name, measures } of [...results.live, ...results.simulated]) {
    const { onTime, late, refused, expired, failed, durationSec, coreSeconds } = measures;
    // The same clients in every run; every request has one outcome.
    expect(measures.sent).toBe(sent);
    expect(onTime + late + refused + expired + failed).toBe(sent);
    // From the begin of two seconds to the last answer, which may come before their end.
    expect(durationSec).toBeGreaterThan(1);
    // One worker keeps a floor; of several instances those that rest hold nothing.
    const floorCores = name.startsWith('sponge ') ? 0 : 0.1;
    expect(coreSeconds).toBeGreaterThanOrEqual(Math.max(0.01, floorCores * durationSec - 0.05));
    expect(coreSeconds).toBeLessThan(results.cpu.maxCores * durationSec * 1.5);
  }
  for (const run of results.live) {
    const { header, records } = parseEventLog(readFileSync(`${out}/${run.eventLog}`, 'utf8'));
    expect(header.source).toBe('live');
    const finished = records.filter((record) => record.kind === 'request-finished');
    expect(finished).toHaveLength(sent - run.measures.failed);
    // By the ledger of the log and by the server's own counter.
    const { grantedCores, binMs } = run.series;
    const fromLog = grantedCores.reduce((sum, cores) => sum + cores, 0) * (binMs / 1000);
    expect(fromLog / run.measures.coreSeconds).toBeGreaterThan(0.7);
    expect(fromLog / run.measures.coreSeconds).toBeLessThan(1.3);
  }
  expect(readFileSync(`${out}/report.html`, 'utf8')).toContain('How this was made');
  expect(readFileSync(page, 'utf8')).toContain('### Live and simulated');
  expect(readdirSync(out)).toEqual(expect.arrayContaining(['results.json', 'runs.csv']));
  expect(existsSync(`${out}/models`)).toBe(false);
});
