import { describe, expect, it } from 'vitest';
import { exactLatency } from '../domain/latency.js';
import { chooseVictims, type VictimsQuestion } from './overload-victims.js';

/** One instance on a core, free at 0: 100 ms a request, one at a time. The place says when each came, unless told. */
function victims(dueAtMs: readonly number[], fields: Partial<VictimsQuestion> = {}): readonly number[] {
  return chooseVictims({
    queue: {
      dueAtMs,
      classIndexes: null,
      models: [exactLatency((batchSize) => 100 * batchSize)],
      maxBatchSize: 1,
      budgetMillicores: 1000,
    },
    freeAtMs: [0],
    cpuMillicores: 1000,
    batchSize: 1,
    cautionDeviations: 0.5,
    filling: 'full',
    sequenceOf: (place) => place,
    isBelowFloor: () => false,
    ...fields,
  });
}

describe('who is given up', () => {
  it('is nobody where all are met', () => {
    expect(victims([100, 200, 300])).toEqual([]);
  });

  it('is the newest of those due until the first that would be late: any other would make no more room', () => {
    // The second of three came last, in a hurry; the third would be done at 300 and is due at 250.
    const sequences = [1, 9, 2];
    expect(victims([100, 200, 250], { sequenceOf: (place) => sequences[place]! })).toEqual([1]);
  });

  it('is nobody who is due after the first that would be late: that would not help it', () => {
    expect(victims([100, 150, 900])).toEqual([1]);
  });

  it('is as many as it takes', () => {
    // Two of five fit until 250: the newest go first.
    expect(victims([250, 250, 250, 250, 250])).toEqual([2, 3, 4]);
  });

  it('is of a client below its floor only where there is nobody else', () => {
    const isBelowFloor = (place: number): boolean => place === 2;
    expect(victims([250, 250, 250], { isBelowFloor })).toEqual([1]);
    expect(victims([250, 250, 250], { isBelowFloor: () => true })).toEqual([2]);
  });

  it('is found in bounded time in a queue of any length', () => {
    // 1000 × 1000 looks would be too many: whoever does not fit is given up as it is, the first ten are met.
    const dueAtMs = new Array<number>(1000).fill(1000);
    expect(victims(dueAtMs)).toHaveLength(990);
  });
});
