import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import { pricedPlanner } from '../../src/scheduler/controlplane/priced-planner.js';
import { edfPolicy } from '../../src/scheduler/dataplane/policy.js';
import { exactLatency } from '../../src/scheduler/domain/latency.js';
import { SimulatedScaler } from '../../src/simulator/sim/simulated-scaler.js';
import { SimulatedWorker } from '../../src/simulator/sim/simulated-worker.js';
import { createSystem } from '../../src/scheduler/system.js';
import { describeEvent } from '../simulation/describe-event.js';
import { dueAt, modelsOf } from '../simulation/fixed-latency.js';

/*
 * A short run of the default policy, event by event, kept in `small-scenario.log`. A line that changes is a decision that
 * changed: look at it, then accept it with `npx vitest run --project unit test/golden --update`.
 */

/** l(b, c) = (4·b + 6) / c ms, c in cores: 10 ms alone at one core, 38 ms for eight. */
function latencyMs(batchSize: number, cpuMillicores: number): number {
  return ((4 * batchSize + 6) * 1000) / cpuMillicores;
}

/** Half a core to four; a steady trickle, a tight burst of eight, silence, and a last one. */
function runSmallScenario(): string {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const limits = { minMillicores: 500, maxMillicores: 4000, stepMillicores: 500 };
  const workers = new SimulatedWorker({
    clock,
    threadCounts: [1, 2, 4],
    maxBatchSize: 8,
    cpuMillicores: limits.maxMillicores,
    latencyMs,
    noise: () => 1,
    stagingMs: 0.25,
    restartMs: 100,
  });
  const scaler = new SimulatedScaler({
    clock,
    limits: { ...limits, minMillicores: 100 },
    cpuMillicores: limits.maxMillicores,
    delayMs: () => 0.125,
    expectedDelayMs: 0.125,
    isRefused: () => false,
    apply: (cpuMillicores) => workers.setAllocation(cpuMillicores),
  });
  const system = createSystem({
    clock,
    workers,
    scalers: [scaler],
    policy: {
      name: 'sponge',
      dispatch: edfPolicy,
      planner: pricedPlanner({ prefer: 'cpu' }),
      isAllocationFixed: false,
    },
    models: modelsOf(exactLatency(latencyMs)),
    config: {
      queueLimits: { maxRequests: 100, maxBytes: 10_000 },
      maxBatchBytes: 10_000,
      limits,
      idleMillicores: 100,
      idleReleaseMs: 200,
    },
    onEvent: (event) => lines.push(describeEvent(event)),
  });

  let sequence = 0;
  const sendAt = (atMs: number, budgetMs: number): void => {
    const request = dueAt(++sequence, atMs + budgetMs, { receivedAtMs: atMs, sloMs: budgetMs });
    clock.schedule(atMs, () => system.submit(request, () => undefined));
  };
  for (let index = 0; index < 8; index++) sendAt(100 + 40 * index, 100); // 1 … 8
  for (let index = 0; index < 8; index++) sendAt(500 + index, 45 - index); // 9 … 16, each tighter than the one before
  sendAt(510, 2); // 17: 10 / 4 = 2.5 ms at best
  sendAt(512, 200); // 18, whose client leaves
  clock.schedule(514, () => system.cancel(18));
  sendAt(520, 400); // 19
  sendAt(1200, 100); // 20, after the CPU was released
  clock.advanceTo(1499);
  system.stop();
  return `${lines.join('\n')}\n`;
}

describe('a small scenario', () => {
  it('goes as the committed log says', async () => {
    await expect(runSmallScenario()).toMatchFileSnapshot('small-scenario.log');
  });
});
