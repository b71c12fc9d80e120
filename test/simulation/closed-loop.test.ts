import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import { jointPlanner } from '../../src/scheduler/controlplane/joint-planner.js';
import type { Preference } from '../../src/scheduler/controlplane/program-planner.js';
import { createNode } from '../../src/scheduler/node.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { dueAt } from './fixed-latency.js';
import { benchParts } from './node-bench.js';

/* Clients that send their next request when they have an answer: the load is what the server makes of it. */

const BUDGET_MILLICORES = 2000;
const SLO_MS = 1000;
/** Between an answer and the next request, on average. */
const PAUSE_MS = 1;
const SECONDS = 4;

interface Load {
  readonly clients: number;
  /** l(b, c) = this · b / c + 1 ms, c in cores. */
  readonly msEach: number;
}

/** @returns answers per second, once the server knows its clients */
function servedPerSec({ clients, msEach }: Load, prefer: Preference): number {
  const clock = new VirtualClock();
  const prng = new Prng(1);
  const [part] = benchParts(clock, BUDGET_MILLICORES, [{ name: 'quick', instances: 2, msEach, maxBatchSize: 16 }]);
  const { model } = part!;
  const node = createNode({ clock, budgetMillicores: BUDGET_MILLICORES });
  const policy = { ...model.policy, planner: jointPlanner(prefer) };
  const system = node.add({ ...model, policy, onEvent: () => undefined });
  let [sent, answered] = [0, 0];
  const send = (): void => {
    const nowMs = clock.nowMs();
    system.submit(dueAt(++sent, nowMs + SLO_MS, { receivedAtMs: nowMs }), () => {
      answered += 1;
      clock.scheduleExact(clock.nowMs() + PAUSE_MS * (0.5 + prng.uniform()), send);
    });
  };
  for (let client = 0; client < clients; client++) send();
  clock.advanceTo(1000 * SECONDS);
  const before = answered;
  clock.advanceTo(2000 * SECONDS);
  node.stop();
  return (answered - before) / SECONDS;
}

describe('clients who wait for their answers', () => {
  it.each<Load>([
    { clients: 1, msEach: 0.2 },
    { clients: 2, msEach: 0.2 },
    { clients: 8, msEach: 0.2 },
    { clients: 32, msEach: 0.2 },
    { clients: 2, msEach: 8 },
    { clients: 8, msEach: 8 },
    { clients: 32, msEach: 8 },
  ])('are not held up for company that their own answers would bring: $clients, $msEach ms each', (load) => {
    expect(servedPerSec(load, 'cpu')).toBeGreaterThan(0.4 * servedPerSec(load, 'latency'));
  });
});
