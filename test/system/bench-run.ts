import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Row } from '../../bench/harness/row.js';

/* The benches with a tiny load: that every row is there. Nothing is said about the numbers. */

const ROOT = join(import.meta.dirname, '../..');

/** So many may be disturbed by whatever else the machine does, each time that they were tried: the others show that benches work. */
const MOST_DISTURBED = 3;

/** What each bench has to show, as the beginning of a row's name; each at least once. */
export const EXPECTED_ROWS: Readonly<Record<string, readonly string[]>> = {
  solver: ['steady', 'burst', 'mixed'].map((load) => `planning decision, queue of 64, ${load}`),
  planner: ["default planner's decision, queue of 64, p50", "default planner's decision, queue of 64, p99"],
  queue: ['queue push', 'queue pop'],
  arrival: [
    ...['static', 'sponge', 'sponge, 4 instances'].map((policy) => `an arrival, ${policy}, met`),
    ...['a cancellation', 'a plan'].map((what) => `${what}, sponge, 4 instances, met`),
    ...['one decision of a node, p99', 'one decision of a node, p99, CPU time'],
  ],
  standstill: ['event loop delay p99.9', "of it the server's own CPU time", 'health answer p99.9'],
  faults: [
    ...['10 poison requests a minute', 'a kill −9 every 5 s'].map((fault) => `good requests lost, ${fault}`),
    'from a kill −9 to the first answer',
  ],
  'added-time': ['added time p50, 602 KB in, 4 KB back, REST binary', 'added time p50, 602 KB in, 4 KB back, gRPC raw'],
  path: ['REST JSON', 'REST binary', 'gRPC'].map((protocol) => `one request's path, ${protocol}, 4 KB`),
  throughput: ['tiny model, REST JSON'],
  'io-threads': ['REST JSON', 'gRPC raw'].map((what) => `CPU of the planning thread, ${what}, --io-threads 2`),
  tracing: ['100 %', '0 %'].map((ratio) => `tiny model, REST JSON, traced, ${ratio}`),
  pipeline: [
    ...['two steps of a pipeline, added to two', 'one step for 8 parts, added to 8'],
    'two steps of a pipeline over REST JSON, p50',
    'one tensor model, beside the tree before',
  ],
  json: ['192 FP32 of 17 digits', '192 FP32 of 3 digits', '192 FP32, typed array → JSON'],
  resize: ['resize, decision → read back, p50', 'resize, decision → read back, p99'],
  'in-place': [250, 500, 1000, 1500].map((quota) => `CPU used at a quota of ${quota} millicores`),
  runtime: ['a run beside the model, 4 floats', 'ResNet-18, sessions of', 'ResNet-18, a batch of 64'],
  refusal: ['infeasible', 'expired'].map((kind) => `answer to an ${kind} request, p99`),
  memory: ['gRPC', 'REST'].map((protocol) => `router memory, 300 queued requests, ${protocol}`),
  instances: [
    'one more instance, tiny, memory of its own',
    'one more instance, tiny, added to the start',
    'a tiny run through the worker, on a further instance',
  ],
  start: ['start with a stored profile', 'start without a profile'],
  simulation: ['simulated, static', 'simulated, sponge'],
  load: ['REST', 'gRPC'].flatMap((protocol) => [
    `upload time off, ${protocol}`,
    `latency off, ${protocol}`,
    `busiest thread, ${protocol}`,
  ]),
  feed: ['nobody looks', 'one subscriber', 'event log'].map((who) => `feeding 200 requests/s, ${who}`),
  neighbour: ['in time beside'],
  several: ['2 instances, OCR', 'two models that share'],
  route: [''],
  soak: ["the router's heap, collected", 'memory, router', 'open descriptors, router', 'threads', 'CPU groups'].map(
    (what) => `soak, growth of ${what}`,
  ),
};

interface Results {
  readonly rows: readonly (Row & { readonly bench: string })[];
  readonly disturbed: readonly string[];
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function runBenches(...args: readonly string[]): Ended {
  const all = ['--import', 'tsx', join(ROOT, 'bench/run.ts'), ...args];
  return spawnSync(process.execPath, all, { cwd: ROOT, encoding: 'utf8' });
}

/** Runs these, and expects each of their rows, measured or skipped with a reason. */
export function expectRows(benches: readonly string[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'sponge-bench-test-'));
  const json = join(folder, 'results.json');
  const { status, stdout, stderr } = runBenches(...benches, '--tiny', '--json', json);
  expect(status, stderr).toBe(0);
  const { rows, disturbed } = JSON.parse(readFileSync(json, 'utf8')) as Results;
  rmSync(folder, { recursive: true });

  expect(disturbed.length, `disturbed: ${disturbed.join(', ')}\n${stderr}`).toBeLessThanOrEqual(MOST_DISTURBED);
  for (const bench of disturbed) console.warn(`SKIPPED ${bench}: the machine was too busy for it; ${stderr}`);
  const table = stdout.slice(stdout.indexOf('\nwhat '));
  for (const bench of benches) {
    if (disturbed.includes(bench)) continue;
    for (const beginning of EXPECTED_ROWS[bench]!) {
      const row = rows.find((each) => each.bench === bench && each.what.startsWith(beginning));
      expect(row, `${bench}: ${beginning}`).toBeDefined();
      expect(table).toContain(row!.what);
      const { ours, note } = row!;
      if (ours.length === 0) {
        expect(note).toMatch(/^skipped: ./);
        console.warn(`SKIPPED ${row!.what}: ${note}`);
      } else expect(ours.every((value) => Number.isFinite(value))).toBe(true);
    }
  }
}
