import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import type { Profile } from '../../../src/scheduler/perf-model/profile.js';
import { inferBinary, slowInput } from './clients.js';
import { TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';

const bench = new TestBench();
afterAll(() => bench.close());

function timesThirty(profile: Profile): Profile {
  const cells = profile.cells.map((cell) => ({
    ...cell,
    samplesMs: cell.samplesMs.map((each) => 30 * each),
    p50Ms: 30 * cell.p50Ms,
    p95Ms: 30 * cell.p95Ms,
    p99Ms: 30 * cell.p99Ms,
  }));
  return { ...profile, cells };
}

/** Statuses of requests one after another, and how long the longest took. */
async function sendMany(server: RunningServer, sloMs: number): Promise<{ statuses: number[]; longestMs: number }> {
  const statuses: number[] = [];
  let longestMs = 0;
  for (let i = 0; i < 20; i++) {
    const sentAtMs = performance.now();
    const { status } = await inferBinary(server, 'slow', [slowInput(i)], { sloMs });
    statuses.push(status);
    longestMs = Math.max(longestMs, performance.now() - sentAtMs);
  }
  return { statuses, longestMs };
}

describe('a stored profile that is 30 times too slow', () => {
  it('is found out at the start, which says by how much, and refuses nobody', async () => {
    const model = bench.model('slow', slow(await slowStepsFor(8)));
    const profilePath = model.replace('.onnx', '.profile.json');
    const first = await bench.serve(model, ['--no-refine']);
    const { longestMs } = await sendMany(first, 20_000);
    await first.stop();

    writeFileSync(profilePath, JSON.stringify(timesThirty(JSON.parse(readFileSync(profilePath, 'utf8')) as Profile)));
    const second = await bench.serve(model, ['--no-refine']);
    expect(second.log).toMatch(/the stored profile was off: runs take \S+( to \S+)? times what it says/);
    // Ten times the longest of twenty requests, which is a third of what the stored profile says of a typical one, at most.
    const { statuses } = await sendMany(second, 10 * longestMs);
    expect(statuses).toEqual(statuses.map(() => 200));
    await second.stop();
  });
});
