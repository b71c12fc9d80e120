import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { worldOf } from '../../src/simulator/comparison/run-seed.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import { setUp } from '../../src/simulator/scenarios/setup.js';
import { networkSource } from './network-source.js';
import { IMAGE_BYTES } from './published.js';

const folder = mkdtempSync(join(tmpdir(), 'sponge-network-source-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A log in the Ghent format. */
function logOf(bytesAndMs: readonly (readonly [bytes: number, ms: number])[]): string {
  const path = join(folder, 'some.log');
  writeFileSync(path, bytesAndMs.map(([bytes, ms], row) => `${row} ${row} 51.0 3.7 ${bytes} ${ms}\n`).join(''));
  return path;
}

/** Network delays that requests of each second are simulated with. */
function simulatedDelaysMs(settings: readonly string[], seed: number): number[] {
  const { scenario, name, folder: from } = readScenario('authors', settings);
  const { workload } = worldOf(setUp(scenario, name, from), seed);
  const delays: number[] = [];
  workload.sentAtMs.forEach((atMs, index) => (delays[Math.floor(atMs / 1000)] = workload.networkDelayMs[index]!));
  return delays;
}

describe('the network of the experiment', () => {
  it('is what the simulator generates for the same seed, second by second', () => {
    const source = networkSource();
    expect(source).toMatchObject({ kind: 'generated', path: null });
    for (const seed of [1, 7]) {
      const expected = source.bytesPerMs(seed, 60).map((rate) => 1000 - Math.trunc(1000 - IMAGE_BYTES / rate));
      expect(simulatedDelaysMs(['durationSec=60'], seed)).toEqual(expected);
    }
    expect(source.bytesPerMs(1, 60)).not.toEqual(source.bytesPerMs(2, 60));
  });

  it('is a log where one is given, a row a second, cut to whole bytes/ms, again from its start after its end', () => {
    const path = logOf([
      [3_263_799, 725],
      [2_000_500, 1000],
      [999_999, 1010],
    ]);
    const source = networkSource(path);
    // 3 263 799 / 725 = 4501.8; 999 999 / 1010 = 990.1.
    expect(source.bytesPerMs(1, 5)).toEqual([4501, 2000, 990, 4501, 2000]);
    expect(source.bytesPerMs(9, 5)).toEqual(source.bytesPerMs(1, 5));
    expect(source).toMatchObject({ kind: 'other-log', path });
    expect(source.description).toContain("some.log, a log other than the paper's");
    const expected = source.bytesPerMs(1, 5).map((rate) => 1000 - Math.trunc(1000 - IMAGE_BYTES / rate));
    expect(simulatedDelaysMs(['durationSec=5', `network.log=${path}`], 1)).toEqual(expected);
  });

  it('is known to be the paper’s log by its length, its first row and its extremes', () => {
    const rows = Array.from({ length: 607 }, () => [3_450_000, 1000] as const);
    const like = [[3_263_799, 725], [432_400, 1000], [6_999_000, 1000], ...rows.slice(3)] as const;
    expect(networkSource(logOf(like)).kind).toBe('paper-log');
    expect(networkSource(logOf(like.slice(1))).kind).toBe('other-log');
    expect(networkSource(logOf(rows)).kind).toBe('other-log');
  });

  it('is refused in one line where the file is missing', () => {
    expect(() => networkSource(join(folder, 'nothing.log'))).toThrow(/nothing\.log: no such file; check the path$/);
  });
});
