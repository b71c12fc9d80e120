import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TEN_MS_EACH, tenMsEach } from '../../../test/simulation/fixed-latency.js';
import { exactLatency } from '../domain/latency.js';
import { decideShedding, type OverloadView } from './overload.js';

/** Three times as long: 30 ms a request at 1000 millicores. */
const THIRTY_MS_EACH = exactLatency((b, c) => 3 * tenMsEach(b, c));

function view(work: readonly (readonly [dueAtMs: number, classIndex: number])[], freeAtMs = 0): OverloadView {
  return {
    work: work.map(([dueAtMs, classIndex], index) => ({ sequence: index + 1, dueAtMs, classIndex, client: 'a' })),
    models: [TEN_MS_EACH, THIRTY_MS_EACH],
    freeAtMs,
    maxMillicores: 1000,
    maxBatchSize: 1,
    floor: 0,
    servedOf: () => 0,
  };
}

describe('requests of several rows', () => {
  it('are shed as they can be batched: by rows', () => {
    // 10 ms a batch whatever its size; at most 6 rows, so three of two rows each: 3, 3 and 1 of seven.
    const flat = exactLatency(() => 10);
    const due = (dueAtMs: number): OverloadView['work'] => view(Array.from({ length: 7 }, () => [dueAtMs, 0])).work;
    const asked = { ...view([]), models: [flat, flat], maxBatchSize: 6, rowCounts: [2, 1] };
    expect(decideShedding({ ...asked, work: due(30) })).toEqual([]);
    expect(decideShedding({ ...asked, work: due(20) })).toHaveLength(1);
    // Two classes, by what a request costs in a full batch: 10 / 3 and 10 / 6 ms, so the dear one goes.
    const mixed = view([[4, 1], [4, 0], [4, 1]]).work; // prettier-ignore
    expect(decideShedding({ ...asked, work: mixed })).toEqual([2]);
  });
});

describe('a shape that nobody has measured', () => {
  it('is not given up for what it might take', () => {
    const guessed = { predictedLatencyMs: () => 500, plannedLatencyMs: () => 900, leastLatencyMs: () => 20 };
    const asked = { ...view([[60, 0], [80, 1], [90, 1]]), models: [TEN_MS_EACH, guessed] }; // prettier-ignore
    // 10 + 20 + 20 = 50 ms at least.
    expect(decideShedding(asked)).toEqual([]);
    // 10 + 20 · 2 > 45: one of the two has to go, the later.
    expect(decideShedding({ ...asked, work: asked.work.map((work) => ({ ...work, dueAtMs: 45 })) })).toEqual([3]);
    const alone = { ...view([[30, 1], [41, 1], [59, 1]]), models: [TEN_MS_EACH, guessed] }; // prettier-ignore
    // In one class too: 20, 40, 60 > 59.
    expect(decideShedding(alone)).toHaveLength(1);
  });
});

describe('shedding among clients', () => {
  /** Twelve requests of 10 ms each and room for six: all of them due by 60 ms, each client's in turn. */
  const crowd = (clients: readonly string[]): OverloadView['work'] =>
    Array.from({ length: 12 }, (_, index) => ({
      sequence: index + 1,
      dueAtMs: 60,
      classIndex: 0,
      client: clients[index % clients.length]!,
    }));
  const keptOf = (work: OverloadView['work'], served: Readonly<Record<string, number>>, floor: number): string[] => {
    const shed = decideShedding({ ...view([]), work, floor, servedOf: (client) => served[client] ?? 0 });
    return work.filter(({ sequence }) => !shed.includes(sequence)).map(({ client }) => client);
  };

  it('gives up those of the client that was served most where another one is below its floor', () => {
    expect(keptOf(crowd(['a', 'b']), { a: 100, b: 1 }, 25)).toEqual(['b', 'b', 'b', 'b', 'b', 'b']);
    expect(keptOf(crowd(['a', 'b', 'b', 'b']), { a: 1, b: 100 }, 25).filter((client) => client === 'a')).toHaveLength(
      3,
    );
  });

  it('ends up even where both are below it', () => {
    expect(keptOf(crowd(['a', 'b']), { a: 0, b: 0 }, 10).sort()).toEqual(['a', 'a', 'a', 'b', 'b', 'b']);
  });

  it('does not ask who sent what where nobody is below it', () => {
    expect(keptOf(crowd(['a', 'b']), { a: 100, b: 30 }, 25)).toHaveLength(6);
  });

  it('keeps tight deadlines from pushing everybody else out', () => {
    // b is due by 60 ms, six requests; a declares 40 ms for its six. Four of a could be met and two of b.
    const work = Array.from({ length: 12 }, (_, index) => ({
      sequence: index + 1,
      dueAtMs: index < 6 ? 40 : 60,
      classIndex: 0,
      client: index < 6 ? 'a' : 'b',
    }));
    expect(keptOf(work, { a: 100, b: 1 }, 25).filter((client) => client === 'b')).toHaveLength(6);
  });

  it('gives up one after another until the rest can be met, and no more than that', () => {
    const aWork = fc.record({
      dueAtMs: fc.integer({ min: 5, max: 120 }),
      client: fc.constantFrom('a', 'b', 'c'),
    });
    fc.assert(
      fc.property(fc.array(aWork, { minLength: 1, maxLength: 14 }), (requests) => {
        const work = requests
          .sort((x, y) => x.dueAtMs - y.dueAtMs)
          .map((request, index) => ({ ...request, sequence: index, classIndex: 0 }));
        const kept = (floor: number): number[] => {
          const shed = decideShedding({ ...view([]), work, floor, servedOf: (client) => (client === 'a' ? 50 : 0) });
          return work.filter(({ sequence }) => !shed.includes(sequence)).map(({ dueAtMs }) => dueAtMs);
        };
        const fair = kept(10);
        // One at a time, 10 ms each, in order of deadline.
        fair.forEach((dueAtMs, index) => expect(10 * (index + 1)).toBeLessThanOrEqual(dueAtMs));
        // Of equal requests the rule loses as few as the exact program.
        expect(fair).toHaveLength(kept(0).length);
      }),
    );
  });
});

describe('shedding', () => {
  it('gives up nothing when all can be met, and nothing of nothing', () => {
    expect(decideShedding(view([]))).toEqual([]);
    expect(decideShedding(view([[10, 0], [20, 0], [30, 0]]))).toEqual([]); // prettier-ignore
  });

  it('gives up as few as it can: three of 10 ms cannot be done by 25, two can', () => {
    expect(decideShedding(view([[25, 0], [25, 0], [25, 0]]))).toHaveLength(1); // prettier-ignore
  });

  it('counts from when the worker is free', () => {
    // Free at 10: finishes at 20 and 30.
    expect(decideShedding(view([[20, 0], [29, 0]], 10))).toHaveLength(1); // prettier-ignore
    expect(decideShedding(view([[20, 0], [30, 0]], 10))).toEqual([]); // prettier-ignore
  });

  it('gives up the request that costs most where classes are mixed, whoever came last', () => {
    // 30 + 10 = 40 > 39: without the dear one the rest ends at 10 and 20.
    expect(decideShedding(view([[35, 1], [39, 0], [45, 0]]))).toEqual([1]); // prettier-ignore
  });

  it('gives up the latest due of equally dear ones', () => {
    // 10, then 40 ≤ 50, then 70 > 60: of the two dear ones, the later.
    expect(decideShedding(view([[10, 0], [50, 1], [60, 1]]))).toEqual([3]); // prettier-ignore
  });

  it('leaves only what can be met one after another, whatever the mix', () => {
    const request = fc.tuple(fc.integer({ min: 0, max: 200 }), fc.constantFrom(0, 1));
    fc.assert(
      fc.property(fc.array(request, { maxLength: 12 }), (requests) => {
        const problem = view([...requests].sort(([a], [b]) => a - b));
        const shed = new Set(decideShedding(problem));
        let finishAtMs = 0;
        for (const { sequence, dueAtMs, classIndex } of problem.work) {
          if (shed.has(sequence)) continue;
          finishAtMs += classIndex === 0 ? 10 : 30;
          expect(finishAtMs).toBeLessThanOrEqual(dueAtMs);
        }
      }),
    );
  });
});
