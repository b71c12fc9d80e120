import { describe, expect, it } from 'vitest';
import { faultyNode } from './faulty-node.js';

/** Of each of three models that share two cores: less than there is, a third more, and three times as much. */
const LOADS_MILLICORES = [300, 900, 2000];

describe('a node whose workers die, whose instances are borrowed, and beside whose models others are started', () => {
  it.each(LOADS_MILLICORES.flatMap((load) => [11, 12].map((seed) => [load, seed] as const)))(
    'keeps nobody waiting without an end at %i millicores a model (seed %i)',
    async (loadMillicores, seed) => {
      const report = await faultyNode({ seed, durationMs: 20_000, loadMillicores });
      expect(report.violations, `repeat with: npm run simulate -- --seed ${seed}`).toEqual([]);
      expect(report.starts).toBeGreaterThan(1);
    },
    60_000,
  );

  it('does so again from its seed, event by event', async () => {
    const run = async (): Promise<string> => (await faultyNode({ seed: 5, durationMs: 5000, loadMillicores: 900 })).log;
    const first = await run();
    expect(first.length).toBeGreaterThan(10_000);
    expect(await run()).toBe(first);
  });
});
