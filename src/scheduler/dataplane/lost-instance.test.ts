import { describe, expect, it } from 'vitest';
import { dueAt, modelsOf, TEN_MS_EACH, tenMsEach } from '../../../test/simulation/fixed-latency.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { Event } from '../domain/event.js';
import { SimulatedWorker } from '../../simulator/sim/simulated-worker.js';
import { dispatchPolicy } from './baselines/dispatch.js';
import { greedy } from './baselines/greedy.js';
import { Pipeline } from './pipeline.js';
import type { BatchResult, BatchRun } from './worker-pool.js';

/** Two instances, of which one dies the moment it is given a batch with a poisonous request in it; the other goes on. */
class FragileWorkers extends SimulatedWorker {
  poisonous = 0;
  deaths = 0;

  override start(run: BatchRun, onDone: (result: BatchResult) => void): void {
    const isDeadly = run.sequences.includes(this.poisonous);
    super.start(run, (result) => {
      if (!isDeadly) onDone(result);
      else {
        this.deaths += 1;
        onDone({ kind: 'worker-lost', message: 'killed by SIGKILL', areOthersReady: true });
      }
    });
  }
}

/** First come first served, batches of up to two, n requests take 10·n ms; deadlines end nothing. */
function setUp() {
  const clock = new VirtualClock();
  const events: Event[] = [];
  const told: string[] = [];
  const workers = new FragileWorkers({
    clock,
    threadCounts: [1],
    maxBatchSize: 2,
    cpuMillicores: 1000,
    latencyMs: tenMsEach,
    noise: () => 1,
    stagingMs: 0,
    restartMs: 100,
    replicas: { initial: 2, isWarm: true, coldStartMs: () => 1000 },
  });
  const pipeline = new Pipeline({
    clock,
    workers,
    models: modelsOf(TEN_MS_EACH),
    policy: dispatchPolicy({ order: 'fifo', batching: greedy, admission: 'none', isDeadlineAware: false }),
    config: {
      queueLimits: { maxRequests: 100, maxBytes: 1_000_000 },
      maxMillicores: 1000,
      allocations: [1000],
      areInstancesApart: false,
      restingMillicores: 0,
      maxBatchBytes: 1_000_000,
      isAllocationFixed: false,
    },
    initialPlan: { kind: 'feasible', instances: 2, cpuMillicores: 1000, batchSize: 2, boundBy: { kind: 'start' } },
    emit: (event) => events.push(event),
  });
  const send = (sequence: number, dueAtMs = 1000): void =>
    pipeline.submit(dueAt(sequence, dueAtMs), (outcome) => {
      const what = outcome.kind === 'completed' ? 'completed' : outcome.reason;
      told.push(`${sequence} ${what} at ${clock.nowMs()}`);
    });
  return { clock, events, told, workers, pipeline, send };
}

describe('an instance that is lost while others go on', () => {
  it('has the members of its batch tried again at once, each alone, and nobody else notices', () => {
    const { clock, events, told, workers, pipeline, send } = setUp();
    workers.poisonous = 2;
    for (const sequence of [1, 2, 3, 4, 5]) send(sequence);
    clock.advanceTo(15);
    // 1 and 2 each began alone, the moment they were there; 2 broke at 10 and waits to be tried again.
    expect(pipeline.isWorkerReady).toBe(true);
    clock.runUntilIdle(10_000);
    expect(events.some(({ kind }) => kind === 'worker-lost')).toBe(false);
    expect(workers.deaths).toBe(2);
    const completed = told.filter((line) => line.includes('completed')).map((line) => Number(line[0]));
    expect(completed.sort()).toEqual([1, 3, 4, 5]);
    // Not a third time.
    expect(told.filter((line) => line.startsWith('2 '))).toHaveLength(1);
    expect(told.find((line) => line.startsWith('2 '))).toContain('2 backend at ');
  });

  it('costs the mates of a poisonous request one more run', () => {
    const { clock, events, told, workers, send } = setUp();
    workers.poisonous = 4;
    // 1 and 2 keep both instances busy until 10; then 3 and 4 go together, and 5 alone.
    for (const sequence of [1, 2, 3, 4, 5]) send(sequence);
    clock.runUntilIdle(10_000);
    const batches = events.flatMap((event) => (event.kind === 'batch-started' ? [event.sequences] : []));
    expect(batches).toEqual([[1], [2], [3, 4], [5], [3], [4]]);
    // 3 is tried again at 30, when its first batch has broken, beside 4: both end at 40.
    expect(told).toEqual(['1 completed at 10', '2 completed at 10', '5 completed at 20', '3 completed at 40', '4 backend at 40']); // prettier-ignore
  });
});

describe('a server that knows no deadlines', () => {
  it('lets what it holds wait for the restart of the last worker, however late', () => {
    const { clock, told, workers, send } = setUp();
    send(1, 15);
    send(2, 15);
    send(3, 15);
    clock.scheduleExact(5, () => workers.kill('killed by SIGKILL'));
    clock.runUntilIdle(10_000);
    // Known at 6, back at 105; 1 and 2 once more, each alone, then 3.
    expect(told).toEqual(['1 completed at 115', '2 completed at 115', '3 completed at 125']);
  });
});
