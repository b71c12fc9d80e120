import { describe, expect, it } from 'vitest';
import { Prng } from '../../scheduler/random/prng.js';
import { leastLost } from './best-split.js';

/** Every division of so many steps among so many models. */
function divisions(models: number, steps: number): number[][] {
  if (models === 0) return [[]];
  return Array.from({ length: steps + 1 }, (_, own) => own).flatMap((own) =>
    divisions(models - 1, steps - own).map((rest) => [own, ...rest]),
  );
}

describe('the division that loses least', () => {
  it('loses as little as the best of all', () => {
    const prng = new Prng(5);
    for (let round = 0; round < 200; round++) {
      const steps = Math.floor(6 * prng.uniform());
      const lost = Array.from({ length: 1 + Math.floor(4 * prng.uniform()) }, () =>
        Array.from({ length: steps + 1 }, () => Math.floor(20 * prng.uniform())),
      );
      const sumOf = (given: readonly number[]): number =>
        given.reduce((sum, own, model) => sum + lost[model]![own]!, 0);
      const best = leastLost(lost, steps);
      expect(best).toHaveLength(lost.length);
      expect(best.reduce((sum, own) => sum + own, 0)).toBeLessThanOrEqual(steps);
      expect(sumOf(best)).toBe(Math.min(...divisions(lost.length, steps).map(sumOf)));
    }
  });
});
