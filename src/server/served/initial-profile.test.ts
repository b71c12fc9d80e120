import { describe, expect, it } from 'vitest';
import { profileCell } from '../../scheduler/perf-model/profile-cell.js';
import type { Profile } from '../../scheduler/perf-model/profile.js';
import type { ProfilingTarget } from '../profiler/profile-runner.js';
import { checkedProfile } from './initial-profile.js';

/** l(b, c) = 10·b / c ms, c in cores, stored as `factor` times that. */
const trulyMs = (batchSize: number, cpuMillicores: number): number => (10_000 * batchSize) / cpuMillicores;

function storedProfile(factor: number): Profile {
  return {
    schemaVersion: 1,
    name: 'm',
    fingerprint: null,
    elementCount: 4,
    quality: 'full',
    measuredAt: '',
    cells: [1, 2, 4, 8].flatMap((batchSize) =>
      [500, 1000, 2000].map((cpuMillicores) => {
        const latencyMs = factor * trulyMs(batchSize, cpuMillicores);
        return profileCell({ batchSize, cpuMillicores, threadCount: 1 }, [latencyMs, latencyMs, latencyMs]);
      }),
    ),
  };
}

/** Runs take what they truly take, times what `noise` says; the first of all ten times as long. */
class FakeTarget implements ProfilingTarget {
  readonly resizes: number[] = [];
  spentMs = 0;
  #runs = 0;
  readonly #latencyMs: (batchSize: number, cpuMillicores: number) => number;

  constructor(latencyMs = trulyMs) {
    this.#latencyMs = latencyMs;
  }

  resize(cpuMillicores: number): Promise<void> {
    this.resizes.push(cpuMillicores);
    return Promise.resolve();
  }

  run(batchSize: number): Promise<{ latencyMs: number }> {
    const cold = this.#runs++ === 0 ? 10 : 1;
    const latencyMs = cold * this.#latencyMs(batchSize, this.resizes.at(-1)!);
    this.spentMs += latencyMs;
    return Promise.resolve({ latencyMs });
  }
}

describe('a stored profile at the start', () => {
  it('is used as it is where a handful of runs agree, a cold first one and one stall apart', async () => {
    const lines: string[] = [];
    let runs = 0;
    const target = new FakeTarget((b, c) => trulyMs(b, c) * (++runs === 3 ? 20 : 1));
    const stored = storedProfile(1);
    expect(await checkedProfile(stored, target, (line) => lines.push(line))).toBe(stored);
    expect(lines).toEqual([]);
    // One request and the largest batch on all CPU, one request on half of it; serving starts on all.
    expect(target.resizes).toEqual([2000, 2000, 1000, 2000]);
    expect(target.spentMs).toBeLessThan(2000);
  });

  it.each([30, 1 / 30])('is scaled where all of it was off by a factor of %d, and the log says so', async (factor) => {
    const lines: string[] = [];
    const profile = await checkedProfile(storedProfile(factor), new FakeTarget(), (line) => lines.push(line));
    expect(profile).toMatchObject({ quality: 'quick' });
    for (const cell of profile!.cells) {
      expect(cell.p50Ms / trulyMs(cell.batchSize, cell.cpuMillicores)).toBeCloseTo(1, 9);
    }
    expect(lines).toEqual([
      `the stored profile was off: runs take ${factor > 1 ? '0.033' : '30'} times what it says; it is scaled, and refined`,
    ]);
  });

  it('is made anew where a batch, or less CPU, costs unlike what it says', async () => {
    const unlike = [
      (b: number, c: number) => trulyMs(b, c) * (b > 1 ? 4 : 1),
      (b: number, c: number) => trulyMs(b, c) * (c < 2000 ? 3 : 1),
    ];
    for (const latencyMs of unlike) {
      const lines: string[] = [];
      const checked = await checkedProfile(storedProfile(1), new FakeTarget(latencyMs), (line) => lines.push(line));
      expect(checked).toBeNull();
      expect(lines[0]).toMatch(/^the stored profile was off: runs take 1\.0 to [34]\.0 times what it says/);
    }
  });
});
