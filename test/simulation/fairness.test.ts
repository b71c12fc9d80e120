import { describe, expect, it } from 'vitest';
import { outcomeName } from '../../src/scheduler/domain/outcome.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { exactSystem } from '../fixtures/exact-system.js';
import { dueAt, TEN_MS_EACH } from './fixed-latency.js';

interface Sender {
  readonly client: string;
  readonly ratePerSec: number;
  readonly budgetMs: number;
}

const DURATION_MS = 30_000;
/** 10 ms a request at one core, four cores at most: 400 a second. */
const CAPACITY_PER_SEC = 400;

/** Requests answered in time per second, by client. */
function servedPerSec(senders: readonly Sender[]): Record<string, number> {
  const { clock, system } = exactSystem(TEN_MS_EACH, 4, 0.1);
  const served: Record<string, number> = {};
  let sequence = 0;
  senders.forEach(({ client, ratePerSec, budgetMs }, index) => {
    const prng = new Prng(index + 1);
    served[client] = 0;
    for (let atMs = 0; atMs < DURATION_MS; atMs += prng.exponential(1000 / ratePerSec)) {
      const request = dueAt(++sequence, atMs + budgetMs, { receivedAtMs: atMs, client });
      clock.schedule(atMs, () =>
        system.submit(request, (outcome) => {
          if (outcomeName(outcome) === 'completed_on_time') served[client]! += 1000 / DURATION_MS;
        }),
      );
    }
  });
  clock.advanceTo(DURATION_MS + 5000);
  system.stop();
  return served;
}

describe('clients under overload', () => {
  it('declaring a tiny budget does not buy the whole queue', () => {
    const served = servedPerSec([
      { client: 'greedy', ratePerSec: 6 * CAPACITY_PER_SEC, budgetMs: 40 },
      { client: 'modest', ratePerSec: 0.5 * CAPACITY_PER_SEC, budgetMs: 300 },
    ]);
    // Half of an equal share, of what is served in all.
    const total = served['greedy']! + served['modest']!;
    expect(served['modest']).toBeGreaterThan(0.9 * (total / 2) * 0.5);
    expect(total).toBeGreaterThan(0.8 * CAPACITY_PER_SEC);
  });

  it('nobody starves beside many that send more', () => {
    const crowd = Array.from({ length: 9 }, (_, index) => ({
      client: `busy ${index}`,
      ratePerSec: CAPACITY_PER_SEC,
      budgetMs: 60 + 10 * index,
    }));
    const served = servedPerSec([...crowd, { client: 'rare', ratePerSec: 0.1 * CAPACITY_PER_SEC, budgetMs: 200 }]);
    const total = Object.values(served).reduce((sum, each) => sum + each, 0);
    for (const [client, each] of Object.entries(served)) {
      expect({ client, isStarved: each < 0.9 * 0.5 * (total / 10) }).toEqual({ client, isStarved: false });
    }
    expect(total).toBeGreaterThan(0.8 * CAPACITY_PER_SEC);
  });
});
